// A linear-chain conditional random field: plain numbers and addresses, no Python, no torch.
//
// Axes: B rows, T steps, K tags. A path y of a row of n steps weighs exp(score), score = start(y_0) + Σ emission +
// Σ transition(from y_t-1 to y_t) + end(y_n-1); Z is the sum of the weights of all its paths. A row of no steps has
// one path, the empty one, of score 0. Any number may be -inf: that is forbidden. What stands in padding is never
// read. Everything is computed in double; a row's numbers depend neither on its batch mates nor on the number of
// threads, and sums over rows depend only on the batch.
#pragma once

#include <cstdint>

namespace bilstm {

struct Crf {
    int64_t B, T, K;
    const int64_t* lengths;    // (B), each in 0…T
    const float* emissions;    // (B, T, K)
    const float* transitions;  // (K, K), from i to j
    const float *start, *end;  // (K)
    int threads;
};

struct CrfGradients {
    float* emissions;      // (B, T, K), written whole: zero on padding
    float* transitions;    // (K, K)
    float *start, *end;    // (K)
};

// How many doubles a training run keeps for its backward.
int64_t crf_reserve_size(const Crf& crf);

// log Z of each row, -inf where it has no path that is allowed. With tags (B, T): the loss log Z - score(tags), +inf
// where the tags are forbidden, and never NaN for want of a path. `reserve` is null, or room for crf_reserve_size.
void crf_forward(const Crf& crf, const int64_t* tags, double* result, double* reserve);

// The gradients of the run that filled `reserve`, which stays as it is: expected counts less those of the tags, times
// d_result (B). What is forbidden has the gradient 0, and so has a row whose result was infinite.
void crf_backward(const Crf& crf, const int64_t* tags, const double* d_result, const double* reserve,
                  const CrfGradients& gradients);

// The probability of each tag at each step, (B, T, K): zero on padding, and in a row without an allowed path.
void crf_marginals(const Crf& crf, float* marginals);

// The path of the highest score, (B, T), 0 on padding, and that score, (B). Of equals, the lowest tag is taken, from
// the last step backwards. A row without an allowed path has score -inf and tags 0.
void crf_viterbi(const Crf& crf, int64_t* tags, double* score);

}  // namespace bilstm
