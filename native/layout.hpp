// Where everything lies: the order of the rows, packed weights, and what a training run keeps. Baseline code.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.hpp"
#include "lstm.hpp"

namespace bilstm {

// Uninitialised floats that begin at a cache line.
class Floats {
    struct Free {
        void operator()(float* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    std::unique_ptr<float[], Free> own;

  public:
    Floats() = default;
    explicit Floats(int64_t n) : own(static_cast<float*>(::operator new[](n * sizeof(float), std::align_val_t{64}))) {}
    operator float*() const { return own.get(); }
};

// Rows by falling length: at step t the first alive(t) of them run, and lie from offset[t] on in packed arrays.
struct Order {
    std::vector<int64_t> row;     // the caller's row at each place
    std::vector<int64_t> length;  // of the row at each place
    std::vector<int64_t> offset;  // [steps + 1]
    int64_t steps;                // of the longest row

    explicit Order(const Call& call);
    int64_t total() const { return offset[steps]; }
    int64_t alive(int64_t t) const { return t < 0 || t >= steps ? 0 : offset[t + 1] - offset[t]; }
};

// Places first…end of the order: what one thread takes through all time steps.
struct Slice {
    int64_t first, end;
    int64_t alive(const Order& order, int64_t t) const {
        const int64_t n = order.alive(t) - first;
        return n < 0 ? 0 : n < end - first ? n : end - first;
    }
};

// Slices of about equal work, as many as the threads can use beside the directions.
std::vector<Slice> slices(const Call& call, const Order& order);

// The sizes that follow from the instruction set.
struct Shape {
    Sizes sizes;
    int64_t lanes, units, blocks, pitch;  // units padded to whole blocks; pitch: gates of a row

    Shape(const Sizes& s, int64_t lanes)
        : sizes(s), lanes(lanes), units(round_up(s.H, lanes)), blocks(units / lanes), pitch(4 * units) {}
    int64_t features(int64_t layer) const { return layer == 0 ? sizes.F : sizes.D * sizes.H; }
    int64_t width() const { return sizes.D * sizes.H; }
};

// What forward keeps of one layer. `input` is the next layer's: hidden, or where there is dropout its masked copy; the
// last layer has none. Its hidden is a copy of the result's output, which the caller may overwrite before the backward.
struct Kept {
    // By direction: [packed row][pitch], [packed row][units]; the cells of both lie together, so that backward,
    // when it needs them no more, has room there for [packed row][D·H].
    float *gates[2], *cells[2];
    float *hidden, *input;       // [packed row][D·H]
};

// The reserve, layer by layer; its first numbers tell the instruction set that filled it, and how many lanes that has.
constexpr int64_t RESERVE_HEAD = 16;
int64_t reserve_floats(const Shape& shape, int64_t total, bool masks);
std::vector<Kept> keep(const Shape& shape, int64_t total, bool masks, float* reserve);

// For each packed row and one direction of one layer the addresses of what it reads and writes.
struct Addresses {
    std::vector<const float*> input, before, cells_before;
    std::vector<float*> output;
};

struct Layer {  // of one run
    const Call& call;
    const Shape& shape;
    const Order& order;
    int64_t index;
    Steps<float> output;        // the result's, in the last layer; else, and in backward, null
    const float* below;         // packed rows of the layer's input; null: the call's input
    float* hidden;              // packed rows; null: only the output is written
    const float* zeros;         // H of them

    int64_t number(int64_t d) const { return index * shape.sizes.D + d; }
    const float* state(const float* states, int64_t d, int64_t place) const {
        return states ? states + (number(d) * shape.sizes.B + order.row[place]) * shape.sizes.H : nullptr;
    }
    // Fill in the slice's rows. `cells` is [packed row][units], `first_cells` [place][units].
    void address(const Slice& slice, int64_t d, const float* cells, const float* first_cells, Addresses& to) const;
};

}  // namespace bilstm
