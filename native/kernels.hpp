// The inner loops that exist once for each instruction set, as a table of functions. Arrays here are packed:
//
//   packed rows   all valid steps of all rows, step after step, at each step the rows that still run
//   gates         [row][block][i f g o][lanes]: a block is as many units as a vector has lanes; the last is padded
//   gate weights  [block][k][i f g o][lanes], so that one input number meets one run of adjacent weights
//   panels        a plain matrix in columns of up to four vectors: [panel][k][vectors of this panel]
#pragma once

#include <cstdint>

namespace bilstm {

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
};

struct Product {  // c[row] = Σ_term a[row]·panels, times a mask where there is one
    int64_t rows, columns;
    int terms;
    int64_t depth;              // k of both
    Rows a[2];
    const float* panels[2];
    Rows mask;
    float* const* c;
};

struct WeightGradient {  // of one block: Σ_rows gates[row]ᵀ·features[row], and Σ_rows gates[row]
    int64_t rows;
    const float* gates;         // of this block in the first row
    int64_t pitch;              // from row to row
    Rows features[2];           // x, h before; null: zero
    int64_t widths[2];
    float* sums[2];             // [k][i f g o][lanes] each; added to
    float* bias;                // [i f g o][lanes]; added to
};

struct Kernels {
    const char* name;
    int lanes;
    // bias + x·W_ih, laid out as gates are.
    void (*project)(int64_t rows, Rows x, int64_t features, int64_t hidden, const float* weights, const float* bias,
                    float* projected);
    void (*step)(const Step&);
    void (*step_back)(const StepBack&);
    void (*multiply)(const Product&);
    void (*weight_gradient)(const WeightGradient&, float* scratch);  // of WEIGHT_ROWS · 4 · lanes
    // Between a (4H, K) matrix and one block of gate weights.
    void (*pack_gates)(const float* weights, int64_t hidden, int64_t k, int64_t block, float* packed);
    void (*unpack_gates)(const float* packed, int64_t hidden, int64_t k, int64_t block, float* weights);
    // A (4H, K) matrix as panels of its K columns.
    void (*pack_panels)(const float* weights, int64_t hidden, int64_t k, int64_t panel, float* packed);
    // Fused multiply-adds as fast as registers allow: what everything else is measured by. Returns their number.
    double (*spin)(int64_t rounds, float* sink);
};

constexpr int64_t WEIGHT_ROWS = 128;  // so many rows of a block's gates (32 KiB at 16 lanes) stay in the first cache

// Panels of a matrix of `columns`: vectors are spread evenly.
struct Panels {
    int64_t vectors, count;
    Panels(int64_t columns, int lanes) : vectors((columns + lanes - 1) / lanes), count((vectors + 3) / 4) {}
    int64_t first(int64_t panel) const { return vectors * panel / count; }  // its first vector
    int64_t width(int64_t panel) const { return first(panel + 1) - first(panel); }
};

extern const Kernels avx512_kernels, avx2_kernels, neon_kernels, plain_kernels;

}  // namespace bilstm
