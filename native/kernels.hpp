// The inner loops that exist once for each instruction set, as a table of functions. Arrays here are packed:
//
//   packed rows   all valid steps of all rows, step after step, at each step the rows that still run
//   gates         [row][block][i f g o][lanes]: a block is as many units as a vector has lanes; the last is padded
//   gate weights  [block][k][i f g o][lanes], so that one input number meets one run of adjacent weights
//   panels        a plain matrix in columns of up to four vectors: [panel][k][vectors of this panel]
#pragma once

#include <cstdint>

namespace bilstm {

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

using Rows = const float* const*;  // one address for each row

struct Step {  // one time step forward: gates = bias + x·W_ih + h·W_hh, then cell and hidden state
    int64_t rows, features, hidden;
    Rows input;                 // x of each row, or null: `projected` holds bias + x·W_ih already
    const float* projected;
    const float *input_weights, *bias, *hidden_weights;
    Rows before;                // h of each row one step earlier, or null: all are zero
    Rows cells_before;
    float* cells;               // [row][padded units]
    float* gates;               // the activated gates, or null: not kept
    float* const* output;       // h of each row
    float* scratch;
};

struct StepBack {  // one time step backward: `gates` become their gradients
    int64_t rows, hidden;
    int64_t continued;          // the first so many rows go on at the next step
    const float *next;          // gate gradients of the next step, for these rows
    const float *weights;       // panels of W_hh, k in the order of gates
    Rows ending;                // for the other rows (counted from `continued`): gradient of h_n; null: zero
    Rows d_output;              // null: zero
    const float* cells;         // [row][padded units]
    Rows cells_before;
    float* gates;
    float* d_cells;             // [row][padded units], in: of this step's cells, out: of those before
    float* scratch;
};

struct Product {  // c[row] = Σ_term a[row]·panels, times a mask where there is one
    int64_t rows, columns;
    int terms;
    int64_t depth;              // k of both
    Rows a[2];
    const float* panels[2];
    Rows mask;
    float* const* c;
    float* scratch;
};

struct WeightGradient {  // of some blocks: Σ_rows gates[row]ᵀ·features[row], and Σ_rows gates[row]
    int64_t rows, blocks;
    const float* gates;         // of the first of these blocks in the first row
    int64_t pitch;              // from row to row
    Rows features[2];           // x, h before; null: zero
    int64_t widths[2];
    float* sums[2];             // [block][k][i f g o][lanes] each; added to; k padded to FEATURES
    float* bias;                // [block][i f g o][lanes]; added to
    float* scratch;
};
constexpr int64_t FEATURES = 16;

struct Kernels {
    const char* name;
    int lanes;
    int64_t enough_rows;        // with so many rows a step had better read its input weights itself
    // Floats of: one packed column of vectors of this depth; the scratch of a step or product, and of weight gradients.
    int64_t (*column)(int64_t depth);
    int64_t (*scratch)(int64_t rows, int64_t depth, int64_t columns);
    int64_t (*weight_scratch)(int64_t features);
    // bias + x·W_ih, laid out as gates are; writes whole tiles of 16 rows.
    void (*project)(int64_t rows, Rows x, int64_t features, int64_t hidden, const float* weights, const float* bias,
                    float* projected, float* scratch);
    void (*step)(const Step&);
    void (*step_back)(const StepBack&);
    void (*multiply)(const Product&);
    void (*weight_gradient)(const WeightGradient&);
    // One block of gate weights from a (4H, K) matrix, and back from sums.
    void (*pack_gates)(const float* weights, int64_t hidden, int64_t k, int64_t block, float* packed);
    void (*unpack_gates)(const float* sums, int64_t hidden, int64_t k, int64_t block, float* weights);
    // A (4H, K) matrix as panels of its K columns.
    void (*pack_panels)(const float* weights, int64_t hidden, int64_t k, int64_t panel, float* packed);
    // Fused multiply-adds as fast as registers allow: what everything else is measured by. Returns their number.
    double (*spin)(int64_t rounds, float* sink);
};

// Panels of a matrix of `columns`: vectors are spread evenly.
struct Panels {
    int64_t vectors, count;
    Panels(int64_t columns, int lanes) : vectors((columns + lanes - 1) / lanes), count((vectors + 3) / 4) {}
    int64_t first(int64_t panel) const { return vectors * panel / count; }  // its first vector
    int64_t width(int64_t panel) const { return first(panel + 1) - first(panel); }
};

// amx: tiles of bf16, three of which make a float32 (isa_amx.cpp); amx_bf16: one, for layers in bf16.
extern const Kernels amx_kernels, amx_bf16_kernels, avx512_kernels, avx2_kernels, neon_kernels, plain_kernels;

}  // namespace bilstm
