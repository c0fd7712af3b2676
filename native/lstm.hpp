// What the core computes and what it must be given: plain numbers and addresses, no Python, no torch.
//
// Axes: B rows, T steps, F features, H units, L layers, D directions. Gates are stacked i, f, g, o. All arrays are
// float32 and have adjacent features; where rows and steps lie is said by strides, counted in floats.
#pragma once

#include <cstdint>
#include <vector>

namespace bilstm {

struct Sizes {
    int64_t B, T, F, H, L, D;
};

// A (B, T, width) array: address of its first number, and how far apart rows and steps are.
template <class T>
struct Steps {
    T* at = nullptr;
    int64_t row = 0, step = 0;
    explicit operator bool() const { return at != nullptr; }
    T* operator()(int64_t b, int64_t t) const { return at + b * row + t * step; }
};

// One layer in one direction. Without biases both are null.
template <class T>
struct Weights {
    T *input, *hidden;             // (4H, F), (4H, H)
    T *input_bias, *hidden_bias;   // (4H), (4H)
};

struct Call {
    Sizes sizes;
    const int64_t* lengths;                     // (B), each in 0…T; null: all T
    Steps<const float> input;                   // (B, T, F)
    const float *h0, *c0;                       // (L·D, B, H); null: zeros
    std::vector<Weights<const float>> weights;  // [layer · D + direction]
    std::vector<Steps<const float>> masks;      // (B, T, D·H) for each layer but the last, or empty
    int threads;
    bool bf16;      // the numbers are those of a bf16 layer: products of bf16 will do (inference only)
    bool training;  // a backward follows: a row's bits may depend on its batch mates where that is faster
};

struct Result {
    Steps<float> output;  // (B, T, D·H), written whole: zero on padding
    float *h_n, *c_n;     // (L·D, B, H)
};

// What a run computes at each step, (L, D, B, T, H) each, written whole: zero on padding. The time axis is the input's
// in both directions.
struct Trace {
    float *gates[4], *cell, *hidden;
};

// What is to be differentiated and where the gradients go; null where a gradient is not given or not wanted.
struct Gradients {
    Steps<const float> output;       // (B, T, D·H)
    const float *h_n, *c_n;          // (L·D, B, H)
    Steps<float> input;              // (B, T, F), written whole: zero on padding
    float *h0, *c0;                  // (L·D, B, H)
    std::vector<Weights<float>> weights;
};

// How many floats a training run keeps for its backward.
int64_t reserve_size(const Call& call);

// Run all layers. `reserve` is null, or room for reserve_size(call) floats.
void forward(const Call& call, const Result& result, float* reserve);

// The same run with all its steps: `result` has the bits that it has without them.
void trace(const Call& call, const Result& result, const Trace& steps);

// The gradients of the run that filled `reserve`, whose result may have been changed since; `reserve` holds something
// else afterwards.
void backward(const Call& call, float* reserve, const Gradients& gradients);

// GFLOP/s of fused multiply-adds that never leave the registers, on so many threads for so long.
double fma_rate(double seconds, int threads);

}  // namespace bilstm
