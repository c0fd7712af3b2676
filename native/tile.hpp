// The loops of kernels.hpp in terms of one vector type V (from a simd header, included before this file).
// Everything is in an unnamed namespace: no wide instruction may leak into another translation unit.
#pragma once

#include "functions.hpp"
#include "kernels.hpp"

namespace {

using bilstm::Panels;
using bilstm::Product;
using bilstm::Rows;
using bilstm::Step;
using bilstm::StepBack;
using bilstm::WeightGradient;

// --- sums of products --------------------------------------------------------------------------------------

template <int N>
struct Int {
    static constexpr int value = N;
};

// sums[r][v] += Σ_k a[r][k] · w[k][v]; each sum in the order of k, whatever R is: so a row never depends on others.
template <int R, int N>
INLINE void accumulate(V (&sums)[R][N], const float* const (&a)[R], int64_t k, const float* __restrict w) {
    for (int64_t i = 0; i < k; ++i, w += N * LANES) {
        V x[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) x[r] = splat(a[r][i]);
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) {
            const V weight = load(w + v * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) sums[r][v] = fma(x[r], weight, sums[r][v]);
        }
    }
}

// Call f(Int<R>, first row) for groups of 1…ROWS rows that differ in size by one at most.
template <class F>
INLINE void by_tiles(int64_t rows, F f) {
    if (rows <= 0) return;
    const int32_t n = static_cast<int32_t>(rows), tiles = (n + ROWS - 1) / ROWS, least = n / tiles;
    int32_t larger = n % tiles;
    for (int64_t begin = 0, size; begin < rows; begin += size) {
        size = larger-- > 0 ? least + 1 : least;
        switch (size) {
            case 1: f(Int<1>{}, begin); break;
            case 2: f(Int<2>{}, begin); break;
            case 3: if constexpr (ROWS >= 3) f(Int<3>{}, begin); break;
            case 4: if constexpr (ROWS >= 4) f(Int<4>{}, begin); break;
            case 5: if constexpr (ROWS >= 5) f(Int<5>{}, begin); break;
            default: if constexpr (ROWS >= 6) f(Int<6>{}, begin); break;
        }
    }
}

// Call f(Int<vectors>, first vector) for each panel of a matrix of so many columns.
template <class F>
INLINE void by_panels(int64_t columns, F f) {
    const Panels panels(columns, LANES);
    for (int64_t panel = 0; panel < panels.count; ++panel) {
        const int64_t first = panels.first(panel);
        switch (panels.width(panel)) {
            case 1: f(Int<1>{}, first); break;
            case 2: f(Int<2>{}, first); break;
            case 3: f(Int<3>{}, first); break;
            default: f(Int<4>{}, first); break;
        }
    }
}

INLINE int64_t padded(int64_t units) { return (units + LANES - 1) / LANES * LANES; }

// --- forward -----------------------------------------------------------------------------------------------

template <int R>
INLINE void set_all(V (&sums)[R][4], const float* bias) {
    for (int g = 0; g < 4; ++g) {
        const V b = load(bias + g * LANES);
        for (int r = 0; r < R; ++r) sums[r][g] = b;
    }
}

template <int R>
INLINE void addresses(const float* (&a)[R], Rows rows, int64_t first) {
    for (int r = 0; r < R; ++r) a[r] = rows[first + r];
}

void project(int64_t rows, Rows x, int64_t features, int64_t hidden, const float* weights, const float* bias,
             float* projected, float*) {
    const int64_t pitch = 4 * padded(hidden);
    for (int64_t at = 0; at < pitch; at += 4 * LANES)
        by_tiles(rows, [&](auto R, int64_t first) {
            V sums[R.value][4];
            const float* a[R.value];
            addresses(a, x, first);
            set_all(sums, bias + at);
            accumulate(sums, a, features, weights + at * features);
            for (int r = 0; r < R.value; ++r)
                for (int g = 0; g < 4; ++g) store(projected + (first + r) * pitch + at + g * LANES, sums[r][g]);
        });
}

template <int R>
INLINE void step_tile(const Step& s, int64_t unit, int64_t first) {
    const int64_t units = padded(s.hidden), pitch = 4 * units, at = 4 * unit;
    V sums[R][4];
    const float* a[R];
    if (s.input) {
        addresses(a, s.input, first);
        set_all(sums, s.bias + at);
        accumulate(sums, a, s.features, s.input_weights + at * s.features);
    } else {
        for (int r = 0; r < R; ++r)
            for (int g = 0; g < 4; ++g) sums[r][g] = load(s.projected + (first + r) * pitch + at + g * LANES);
    }
    if (s.before) {
        addresses(a, s.before, first);
        accumulate(sums, a, s.hidden, s.hidden_weights + at * s.hidden);
    }
    V c[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        activate(sums[r]);
        c[r] = fma(sums[r][1], load(s.cells_before[first + r] + unit), sums[r][0] * sums[r][2]);
        store(s.cells + (first + r) * units + unit, c[r]);
        if (s.gates)
            for (int g = 0; g < 4; ++g) store(s.gates + (first + r) * pitch + at + g * LANES, sums[r][g]);
    }
    tanh(c);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) store_first(s.output[first + r] + unit, s.hidden - unit, sums[r][3] * c[r]);
}

void step(const Step& s) {
    for (int64_t unit = 0; unit < s.hidden; unit += LANES)
        by_tiles(s.rows, [&](auto R, int64_t first) { step_tile<R.value>(s, unit, first); });
}

// --- backward ----------------------------------------------------------------------------------------------

// From d_h, all of h's gradient in N vectors of one row, to the gradients of the pre-activations and of the cell
// before.
template <int N>
INLINE void step_back_units(const StepBack& s, int64_t row, int64_t unit, const V (&d_h)[N]) {
    const int64_t units = padded(s.hidden);
    const V one = splat(1.0f);
    V shown[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) shown[v] = load(s.cells + row * units + unit + v * LANES);
    tanh(shown);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
        const int64_t at = unit + v * LANES;
        float* gates = s.gates + row * 4 * units + 4 * at;
        float* d_cells = s.d_cells + row * units + at;
        const V i = load(gates), f = load(gates + LANES), g = load(gates + 2 * LANES), o = load(gates + 3 * LANES);
        const V d_c = fma(d_h[v] * o, one - shown[v] * shown[v], load(d_cells));
        const V c_before = load(s.cells_before[row] + at);
        store(gates, d_c * g * (i * (one - i)));
        store(gates + LANES, d_c * c_before * (f * (one - f)));
        store(gates + 2 * LANES, d_c * i * (one - g * g));
        store(gates + 3 * LANES, d_h[v] * shown[v] * (o * (one - o)));
        store(d_cells, d_c * f);
    }
}

// `continued` of the rows get their gradient of h from the next step, by the recurrent weights.
template <int R, int N, bool CONTINUED>
INLINE void step_back_tile(const StepBack& s, int64_t vector, const float* w, int64_t first) {
    const int64_t pitch = 4 * padded(s.hidden);
    V d_h[R][N];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) {
            const int64_t unit = (vector + v) * LANES, width = s.hidden - unit;
            d_h[r][v] = s.d_output ? load_first(s.d_output[first + r] + unit, width) : splat(0.0f);
            if (!CONTINUED && s.ending)
                d_h[r][v] = d_h[r][v] + load_first(s.ending[first + r - s.continued] + unit, width);
        }
    if (CONTINUED) {
        const float* a[R];
        for (int r = 0; r < R; ++r) a[r] = s.next + (first + r) * pitch;
        accumulate(d_h, a, pitch, w);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) step_back_units(s, first + r, vector * LANES, d_h[r]);
}

void step_back(const StepBack& s) {
    by_panels(s.hidden, [&](auto N, int64_t vector) {
        const float* w = s.weights + vector * 4 * padded(s.hidden) * LANES;
        by_tiles(s.continued, [&](auto R, int64_t first) {
            step_back_tile<R.value, N.value, true>(s, vector, w, first);
        });
        by_tiles(s.rows - s.continued, [&](auto R, int64_t first) {
            step_back_tile<R.value, N.value, false>(s, vector, w, s.continued + first);
        });
    });
}

constexpr int64_t DEPTH = 512;  // so much of a panel (128 KiB at 16 lanes) stays in the second cache

// The terms' share of k = begin…end, added to what c holds already, except at the start.
template <int R, int N>
INLINE void multiply_tile(const Product& p, int term, int64_t begin, int64_t end, int64_t vector, int64_t first) {
    V sums[R][N];
    const bool fresh = term == 0 && begin == 0, last = term == p.terms - 1 && end == p.depth;
    const float* a[R];
    for (int r = 0; r < R; ++r) {
        a[r] = p.a[term][first + r] + begin;
        for (int v = 0; v < N; ++v) {
            const int64_t column = (vector + v) * LANES;
            sums[r][v] = fresh ? splat(0.0f) : load_first(p.c[first + r] + column, p.columns - column);
        }
    }
    accumulate(sums, a, end - begin, p.panels[term] + (vector * p.depth + begin * N) * LANES);
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) {
            const int64_t column = (vector + v) * LANES, width = p.columns - column;
            if (last && p.mask) sums[r][v] = sums[r][v] * load_first(p.mask[first + r] + column, width);
            store_first(p.c[first + r] + column, width, sums[r][v]);
        }
}

void multiply(const Product& p) {
    for (int term = 0; term < p.terms; ++term)
        for (int64_t begin = 0; begin < p.depth; begin += DEPTH) {
            const int64_t end = begin + DEPTH < p.depth ? begin + DEPTH : p.depth;
            by_panels(p.columns, [&](auto N, int64_t vector) {
                by_tiles(p.rows, [&](auto R, int64_t first) {
                    multiply_tile<R.value, N.value>(p, term, begin, end, vector, first);
                });
            });
        }
}

// sums[k + r] += Σ_rows features[row][k + r] · gates[row], for R neighbouring features.
template <int R>
INLINE void weight_gradient_tile(const float* gates, Rows features, int64_t rows, int64_t k, float* sums) {
    V total[R][4];
    float* to = sums + k * 4 * LANES;
    for (int r = 0; r < R; ++r)
        for (int g = 0; g < 4; ++g) total[r][g] = load(to + (r * 4 + g) * LANES);
    for (int64_t row = 0; row < rows; ++row, gates += 4 * LANES) {
        const float* x = features[row] + k;
        V each[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) each[r] = splat(x[r]);
#pragma GCC unroll 4
        for (int g = 0; g < 4; ++g) {
            const V d = load(gates + g * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) total[r][g] = fma(each[r], d, total[r][g]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int g = 0; g < 4; ++g) store(to + (r * 4 + g) * LANES, total[r][g]);
}

constexpr int64_t WEIGHT_ROWS = 128;  // so many rows of a block's gates (32 KiB at 16 lanes) stay in the first cache

void weight_gradient(const WeightGradient& w) {
    for (int64_t begin = 0; begin < w.rows; begin += WEIGHT_ROWS)
        for (int64_t block = 0; block < w.blocks; ++block) {
            const int64_t rows = w.rows - begin < WEIGHT_ROWS ? w.rows - begin : WEIGHT_ROWS, width = 4 * LANES;
            V bias[4];
            for (int g = 0; g < 4; ++g) bias[g] = load(w.bias + block * width + g * LANES);
            for (int64_t row = 0; row < rows; ++row)
                for (int g = 0; g < 4; ++g) {
                    const V d = load(w.gates + (begin + row) * w.pitch + block * width + g * LANES);
                    bias[g] = bias[g] + d;
                    store(w.scratch + (row * 4 + g) * LANES, d);
                }
            for (int g = 0; g < 4; ++g) store(w.bias + block * width + g * LANES, bias[g]);
            for (int part = 0; part < 2; ++part) {
                if (!w.features[part]) continue;
                float* sums = w.sums[part] + block * bilstm::round_up(w.widths[part], bilstm::FEATURES) * width;
                by_tiles(w.widths[part], [&](auto R, int64_t k) {
                    weight_gradient_tile<R.value>(w.scratch, w.features[part] + begin, rows, k, sums);
                });
            }
        }
}

int64_t column(int64_t depth) { return depth * LANES; }
int64_t no_scratch(int64_t, int64_t, int64_t) { return 0; }
int64_t weight_scratch(int64_t) { return WEIGHT_ROWS * 4 * LANES; }

// --- packing -----------------------------------------------------------------------------------------------

void pack_gates(const float* weights, int64_t hidden, int64_t k, int64_t block, float* packed) {
    const int64_t unit = block * LANES, units = hidden - unit;
    packed += 4 * unit * k;
    for (int64_t i = 0; i < k; ++i)
        for (int g = 0; g < 4; ++g)
            store(packed + (i * 4 + g) * LANES, gather(weights + (g * hidden + unit) * k + i, k, units));
}

void unpack_gates(const float* packed, int64_t hidden, int64_t k, int64_t block, float* weights) {
    const int64_t unit = block * LANES;
    for (int g = 0; g < 4; ++g)
        for (int64_t u = 0; u < LANES && unit + u < hidden; ++u)
            for (int64_t i = 0; i < k; i += LANES)
                store_first(weights + (g * hidden + unit + u) * k + i, k - i,
                            gather(packed + (i * 4 + g) * LANES + u, 4 * LANES, k - i));
}

void pack_panels(const float* weights, int64_t hidden, int64_t k, int64_t panel, float* packed) {
    const Panels panels(k, LANES);
    const int64_t vector = panels.first(panel), width = panels.width(panel), units = padded(hidden);
    packed += vector * 4 * units * LANES;
    for (int64_t unit = 0; unit < units; unit += LANES)
        for (int g = 0; g < 4; ++g)
            for (int64_t u = unit; u < unit + LANES; ++u)
                for (int64_t v = vector; v < vector + width; ++v, packed += LANES)
                    store(packed, u < hidden ? load_first(weights + (g * hidden + u) * k + v * LANES, k - v * LANES)
                                             : splat(0.0f));
}

// --- the measure -------------------------------------------------------------------------------------------

double spin(int64_t rounds, float* sink) {
    V sums[ROWS][4];
    for (int r = 0; r < ROWS; ++r)
        for (int g = 0; g < 4; ++g) sums[r][g] = splat(sink[r]);
    const V a = splat(sink[0]), b = splat(sink[1]);
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
            for (int g = 0; g < 4; ++g) sums[r][g] = fma(sums[r][g], a, b);
    for (int r = 0; r < ROWS; ++r)
        for (int g = 0; g < 4; ++g) store_first(sink, 1, sums[r][g] + load_first(sink, 1));
    return static_cast<double>(rounds) * ROWS * 4 * LANES;
}

}  // namespace
