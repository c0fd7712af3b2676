// AMX on 64-bit x86: products of 16×16 tiles in bf16, summed in float32, ten times the rate of AVX-512.
//
// A float32 is split into three bf16, x = high + middle + low, which hold all of its 24 bits. Of the nine products of
// two such numbers the six largest are added; the rest is below 2^-24 of the product, so that the sum is as good as
// one of float32 (the measure is tests/laws.py, as for every kernel). Layers that are in bf16 need one product.
// Everything but the products is AVX-512's.
#include "simd_avx512.hpp"
#include "tile.hpp"
#include "amx_tiles.hpp"

namespace {

constexpr int64_t ROWS_AT_ONCE = 128;  // of a product: their split inputs stay in the second cache

// --- packing ------------------------------------------------------------------------------------------------

template <int P>
int64_t amx_column(int64_t depth) {
    return bilstm::round_up(depth, DEEP) / DEEP * P * TILE_FLOATS;
}

template <int P>
void amx_pack_gates(const float* weights, int64_t hidden, int64_t k, int64_t block, float* packed) {
    const int64_t unit = block * LANES, units = hidden - unit;
    packed += block * 4 * amx_column<P>(k);
    for (int64_t i = 0; i < k; i += DEEP)
        for (int64_t g = 0; g < 4; ++g, packed += P * TILE_FLOATS)
            for (int64_t pair = 0; pair < TILE; ++pair) {
                const int64_t at = i + 2 * pair;
                const float* from = weights + (g * hidden + unit) * k + at;
                store_pair<P>(at < k ? gather(from, k, units) : splat(0.0f),
                              at + 1 < k ? gather(from + 1, k, units) : splat(0.0f), packed, pair);
            }
}

template <int P>
void amx_pack_panels(const float* weights, int64_t hidden, int64_t k, int64_t panel, float* packed) {
    const Panels panels(k, LANES);
    const int64_t vector = panels.first(panel), width = panels.width(panel), units = padded(hidden);
    packed += vector * amx_column<P>(4 * units);
    const auto row = [&](int64_t at, int64_t v) {  // weights in the order of gates: [block][gate][lane]
        const int64_t unit = at / (4 * LANES) * LANES + at % LANES, g = at / LANES % 4;
        return unit < hidden ? load_first(weights + (g * hidden + unit) * k + v * LANES, k - v * LANES) : splat(0.0f);
    };
    for (int64_t at = 0; at < 4 * units; at += DEEP)
        for (int64_t v = vector; v < vector + width; ++v, packed += P * TILE_FLOATS)
            for (int64_t pair = 0; pair < TILE; ++pair)
                store_pair<P>(row(at + 2 * pair, v), row(at + 2 * pair + 1, v), packed, pair);
}

// --- forward ------------------------------------------------------------------------------------------------

// Of split left factors for so many rows and this depth, then of sums.
template <int P>
INLINE int64_t split_floats(int64_t rows, int64_t depth) {
    return bilstm::round_up(rows, TILE) * P * bilstm::round_up(depth, DEEP) / 2;
}
template <int P>
int64_t amx_scratch(int64_t rows, int64_t depth, int64_t columns) {
    return split_floats<P>(rows, depth) + ROWS_AT_ONCE * bilstm::round_up(columns, TILE);
}

template <int P>
void amx_project(int64_t rows, Rows x, int64_t features, int64_t hidden, const float* weights, const float*,
                 float* projected, float* scratch) {  // the bias is added later: loading it into tiles is slow
    const Tiles tiles;
    const int64_t gates = 4 * padded(hidden), depth = bilstm::round_up(features, DEEP), pitch = P * depth;
    Half* split = reinterpret_cast<Half*>(scratch);
    split_rows<P>(rows, x, 0, features, split);
    for (int64_t at = 0; at < gates; at += 4 * TILE, weights += 4 * amx_column<P>(features))
        for (int64_t first = 0; first < rows; first += TILE) {
            zero_sums<4>();
            add_products<P, 4>(split + first * pitch, pitch, depth, depth, weights);
            store_sums<4>(projected + first * gates + at, gates);
        }
}

// Cells and hidden states of R rows from the parts of their pre-activations; `sums` may be null.
template <int R>
INLINE void activate_rows(const Step& s, int64_t unit, int64_t first, const float* sums) {
    const int64_t units = padded(s.hidden);
    V c[R], o[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
        V x[4];
        for (int g = 0; g < 4; ++g) {
            const int64_t at = 4 * unit + g * LANES;
            x[g] = load(s.projected + (first + r) * 4 * units + at) + load(s.bias + at);
            if (sums) x[g] = x[g] + load(sums + (r * 4 + g) * LANES);
        }
        activate(x);
        c[r] = fma(x[1], load(s.cells_before[first + r] + unit), x[0] * x[2]);
        o[r] = x[3];
        store(s.cells + (first + r) * units + unit, c[r]);
        if (s.gates)
            for (int g = 0; g < 4; ++g) store(s.gates + ((first + r) * units + unit) * 4 + g * LANES, x[g]);
    }
    tanh(c);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) store_first(s.output[first + r] + unit, s.hidden - unit, o[r] * c[r]);
}

template <int P>
void amx_step(const Step& s) {  // its input is always projected
    const Tiles tiles;
    const int64_t depth = bilstm::round_up(s.hidden, DEEP), pitch = P * depth;
    Half* split = reinterpret_cast<Half*>(s.scratch);
    float* scratch = s.scratch + split_floats<P>(s.rows, s.hidden);
    const float* sums = s.before ? scratch : nullptr;
    if (s.before) split_rows<P>(s.rows, s.before, 0, s.hidden, split);
    const float* weights = s.hidden_weights;
    for (int64_t unit = 0; unit < s.hidden; unit += LANES, weights += 4 * amx_column<P>(s.hidden))
        for (int64_t first = 0; first < s.rows; first += TILE) {
            if (s.before) {
                zero_sums<4>();
                add_products<P, 4>(split + first * pitch, pitch, depth, depth, weights);
                store_sums<4>(scratch, 4 * TILE);
            }
            const int64_t rows = s.rows - first < TILE ? s.rows - first : TILE;
            int64_t r = 0;
            for (; r + 4 <= rows; r += 4) activate_rows<4>(s, unit, first + r, sums ? sums + r * 4 * TILE : nullptr);
            for (; r < rows; ++r) activate_rows<1>(s, unit, first + r, sums ? sums + r * 4 * TILE : nullptr);
        }
}

// --- backward -----------------------------------------------------------------------------------------------

template <int N>
INLINE void back_row(const StepBack& s, int64_t vector, int64_t row, const float* product) {
    V d_h[N];
    for (int v = 0; v < N; ++v) {
        const int64_t unit = (vector + v) * LANES, width = s.hidden - unit;
        d_h[v] = s.d_output ? load_first(s.d_output[row] + unit, width) : splat(0.0f);
        if (product)
            d_h[v] = d_h[v] + load(product + v * LANES);
        else if (s.ending)
            d_h[v] = d_h[v] + load_first(s.ending[row - s.continued] + unit, width);
    }
    step_back_units(s, row, vector * LANES, d_h);
}

template <int P>
void amx_step_back(const StepBack& s) {
    const Tiles tiles;
    const int64_t depth = 4 * padded(s.hidden), pitch = P * depth;
    Half* split = reinterpret_cast<Half*>(s.scratch);
    float* sums = s.scratch + split_floats<P>(s.rows, depth);
    for (int64_t row = 0; row < s.continued; ++row) {
        const float* next = s.next + row * depth;
        split_rows<P>(1, &next, 0, depth, split + row * pitch);
    }
    by_panels(s.hidden, [&](auto N, int64_t vector) {
        for (int64_t first = 0; first < s.continued; first += TILE) {
            zero_sums<N.value>();
            add_products<P, N.value>(split + first * pitch, pitch, depth, depth,
                                     s.weights + vector * amx_column<P>(depth));
            store_sums<N.value>(sums, N.value * TILE);
            for (int64_t r = 0; r < TILE && first + r < s.continued; ++r)
                back_row<N.value>(s, vector, first + r, sums + r * N.value * TILE);
        }
        for (int64_t row = s.continued; row < s.rows; ++row) back_row<N.value>(s, vector, row, nullptr);
    });
}

template <int P>
void amx_multiply(const Product& p) {
    const Tiles tiles;
    const int64_t columns = bilstm::round_up(p.columns, TILE);
    Half* split = reinterpret_cast<Half*>(p.scratch);
    float* sums = p.scratch + split_floats<P>(p.rows, p.depth);
    for (int64_t begin = 0; begin < p.rows; begin += ROWS_AT_ONCE) {
        const int64_t rows = p.rows - begin < ROWS_AT_ONCE ? p.rows - begin : ROWS_AT_ONCE;
        for (int term = 0; term < p.terms; ++term)
            for (int64_t k = 0; k < p.depth; k += DEPTH) {
                const int64_t depth = p.depth - k < DEPTH ? p.depth - k : DEPTH, pitch = P * depth;
                split_rows<P>(rows, p.a[term] + begin, k, depth, split);
                by_panels(p.columns, [&](auto N, int64_t vector) {
                    const float* w = p.panels[term] + vector * amx_column<P>(p.depth) + N.value * amx_column<P>(k);
                    for (int64_t first = 0; first < rows; first += TILE) {
                        float* c = sums + first * columns + vector * TILE;
                        if (term == 0 && k == 0)
                            zero_sums<N.value>();
                        else
                            load_sums<N.value>(c, columns);
                        add_products<P, N.value>(split + first * pitch, pitch, depth, depth, w);
                        store_sums<N.value>(c, columns);
                    }
                });
            }
        for (int64_t row = 0; row < rows; ++row)
            for (int64_t column = 0; column < p.columns; column += LANES) {
                V x = load(sums + row * columns + column);
                if (p.mask) x = x * load_first(p.mask[begin + row] + column, p.columns - column);
                store_first(p.c[begin + row] + column, p.columns - column, x);
            }
    }
}

// Rows and columns of 16×16 numbers of 32 bits change places.
INLINE void transpose(__m512i (&x)[16]) {
    __m512i y[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
            y[8 * i + j] = _mm512_shuffle_i32x4(x[8 * i + j], x[8 * i + j + 4], 0x88);
            y[8 * i + j + 4] = _mm512_shuffle_i32x4(x[8 * i + j], x[8 * i + j + 4], 0xdd);
        }
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
        x[j] = _mm512_shuffle_i32x4(y[j], y[j + 8], 0x88);
        x[j + 8] = _mm512_shuffle_i32x4(y[j], y[j + 8], 0xdd);
    }
}

constexpr int64_t SUMMED_ROWS = 256;  // of weight gradients, at once
constexpr int64_t SUMMED_TILES = SUMMED_ROWS / DEEP;

// 16 features of `rows` rows as left factor, so that rows become the depth: [deep][part] tiles.
template <int P>
void split_features(int64_t rows, Rows x, int64_t feature, int64_t width, float* to) {
    for (int64_t begin = 0; begin < SUMMED_ROWS; begin += DEEP) {
        __m512i pairs[P][16];
#pragma GCC unroll 16
        for (int pair = 0; pair < TILE; ++pair) {
            const int64_t row = begin + 2 * pair;
            const V even = row < rows ? load_first(x[row] + feature, width - feature) : splat(0.0f);
            const V odd = row + 1 < rows ? load_first(x[row + 1] + feature, width - feature) : splat(0.0f);
            __m512i of_pair[P];
            split_pair<P>(even, odd, of_pair);
            for (int p = 0; p < P; ++p) pairs[p][pair] = of_pair[p];
        }
        for (int p = 0; p < P; ++p, to += TILE_FLOATS) {
            transpose(pairs[p]);
            for (int row = 0; row < TILE; ++row) _mm512_storeu_si512(to + row * TILE, pairs[p][row]);
        }
    }
}

// One block's gate gradients as right factor: [deep][gate][part] tiles; and their sum.
template <int P>
void split_gates(int64_t rows, const float* gates, int64_t pitch, float* bias, float* to) {
    V sum[4];
    for (int g = 0; g < 4; ++g) sum[g] = load(bias + g * LANES);
    for (int64_t begin = 0; begin < SUMMED_ROWS; begin += DEEP, to += 4 * P * TILE_FLOATS)
        for (int64_t pair = 0; pair < TILE; ++pair)
            for (int g = 0; g < 4; ++g) {
                const int64_t row = begin + 2 * pair;
                const float* from = gates + row * pitch + g * LANES;
                const V even = row < rows ? load(from) : splat(0.0f);
                const V odd = row + 1 < rows ? load(from + pitch) : splat(0.0f);
                sum[g] = (sum[g] + even) + odd;
                store_pair<P>(even, odd, to + g * P * TILE_FLOATS, pair);
            }
    for (int g = 0; g < 4; ++g) store(bias + g * LANES, sum[g]);
}

template <int P>
int64_t amx_weight_scratch(int64_t features) {
    // both parts of the features are padded to whole tiles
    return (bilstm::round_up(features, TILE) + TILE) * SUMMED_ROWS * P / 2 + SUMMED_TILES * 4 * P * TILE_FLOATS;
}

template <int P>
void amx_weight_gradient(const WeightGradient& w) {
    const Tiles tiles;
    constexpr int64_t LEFT = SUMMED_TILES * P * TILE_FLOATS, RIGHT = 4 * LEFT;
    float *right = w.scratch, *left = w.scratch + RIGHT;
    for (int64_t begin = 0; begin < w.rows; begin += SUMMED_ROWS) {
        const int64_t rows = w.rows - begin < SUMMED_ROWS ? w.rows - begin : SUMMED_ROWS;
        float* to = left;
        for (int part = 0; part < 2; ++part)
            for (int64_t f = 0; w.features[part] && f < w.widths[part]; f += TILE, to += LEFT)
                split_features<P>(rows, w.features[part] + begin, f, w.widths[part], to);
        for (int64_t block = 0; block < w.blocks; ++block) {
            const int64_t at = block * 4 * TILE;
            split_gates<P>(rows, w.gates + begin * w.pitch + at, w.pitch, w.bias + at, right);
            const float* a = left;
            for (int part = 0; part < 2; ++part)
                for (int64_t f = 0; w.features[part] && f < w.widths[part]; f += TILE, a += LEFT) {
                    float* sums = w.sums[part] + (block * bilstm::round_up(w.widths[part], TILE) + f) * 4 * TILE;
                    load_sums<4>(sums, 4 * TILE);
                    const float* w = right;
                    for (int64_t k = 0; k < SUMMED_TILES; ++k) {
                        const float* tile = a + k * P * TILE_FLOATS;
                        _tile_loadd(4, tile, 64);
                        if constexpr (P == 3) {
                            _tile_loadd(5, tile + TILE_FLOATS, 64);
                            _tile_loadd(6, tile + 2 * TILE_FLOATS, 64);
                        }
                        ADD_PRODUCTS(0);
                        ADD_PRODUCTS(1);
                        ADD_PRODUCTS(2);
                        ADD_PRODUCTS(3);
                    }
                    store_sums<4>(sums, 4 * TILE);
                }
        }
    }
}

template <int P>
constexpr bilstm::Kernels amx(const char* name) {
    return {name,           LANES,
            INT64_MAX,      amx_column<P>,
            amx_scratch<P>, amx_weight_scratch<P>,
            amx_project<P>, amx_step<P>,
            amx_step_back<P>, amx_multiply<P>,
            amx_weight_gradient<P>, amx_pack_gates<P>,
            unpack_gates,   amx_pack_panels<P>,
            spin};
}

}  // namespace

namespace bilstm {

const Kernels amx_kernels = amx<3>("amx"), amx_bf16_kernels = amx<1>("amx");

}  // namespace bilstm
