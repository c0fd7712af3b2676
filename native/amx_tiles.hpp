// AMX's registers, the sums of products in them, and how float32 are split into bf16. See isa_amx.cpp, which alone
// includes this file, after simd_avx512.hpp and tile.hpp.
#pragma once

namespace {

typedef uint16_t Half;  // bf16: the upper half of a float32

constexpr int64_t TILE = 16;              // rows, and columns of float32
constexpr int64_t DEEP = 32;              // bf16 along a tile's row
constexpr int64_t TILE_FLOATS = 256;      // 1 KiB

// --- tiles --------------------------------------------------------------------------------------------------
// Tiles 0…3 are sums, 4…6 the parts of the left factor, 7 a part of the right one.

struct alignas(64) Palette {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const Palette palette;

class Tiles {  // while it lives, the thread's tile registers may be used
  public:
    Tiles() { asm volatile("ldtilecfg %0" ::"m"(palette)); }
    ~Tiles() { _tile_release(); }
};

// The instructions want their registers as literals.
template <int N>
INLINE void zero_sums() {
    _tile_zero(0);
    if constexpr (N > 1) _tile_zero(1);
    if constexpr (N > 2) _tile_zero(2);
    if constexpr (N > 3) _tile_zero(3);
}
template <int N>
INLINE void load_sums(const float* c, int64_t stride) {  // stride in floats
    _tile_loadd(0, c, stride * 4);
    if constexpr (N > 1) _tile_loadd(1, c + TILE, stride * 4);
    if constexpr (N > 2) _tile_loadd(2, c + 2 * TILE, stride * 4);
    if constexpr (N > 3) _tile_loadd(3, c + 3 * TILE, stride * 4);
}
template <int N>
INLINE void store_sums(float* c, int64_t stride) {
    _tile_stored(0, c, stride * 4);
    if constexpr (N > 1) _tile_stored(1, c + TILE, stride * 4);
    if constexpr (N > 2) _tile_stored(2, c + 2 * TILE, stride * 4);
    if constexpr (N > 3) _tile_stored(3, c + 3 * TILE, stride * 4);
}

#define ADD_PRODUCTS(SUM)                                     \
    do {                                                      \
        _tile_loadd(7, w, 64);                                \
        if constexpr (P == 3) {                               \
            _tile_dpbf16ps(SUM, 6, 7); /* low · high */       \
            _tile_dpbf16ps(SUM, 5, 7); /* middle · high */    \
        }                                                     \
        _tile_dpbf16ps(SUM, 4, 7); /* high · high */          \
        if constexpr (P == 3) {                               \
            _tile_loadd(7, w + TILE_FLOATS, 64);              \
            _tile_dpbf16ps(SUM, 5, 7); /* middle · middle */  \
            _tile_dpbf16ps(SUM, 4, 7); /* high · middle */    \
            _tile_loadd(7, w + 2 * TILE_FLOATS, 64);          \
            _tile_dpbf16ps(SUM, 4, 7); /* high · low */       \
        }                                                     \
        w += P * TILE_FLOATS;                                 \
    } while (false)

// Sums 0…N-1 += a · w over `depth`; a: rows of `pitch` halves, part p at p · part; w: [deep][vector][part] tiles.
template <int P, int N>
INLINE void add_products(const Half* a, int64_t pitch, int64_t part, int64_t depth, const float* w) {
    for (int64_t k = 0; k < depth; k += DEEP) {
        _tile_loadd(4, a + k, pitch * 2);
        if constexpr (P == 3) {
            _tile_loadd(5, a + part + k, pitch * 2);
            _tile_loadd(6, a + 2 * part + k, pitch * 2);
        }
        ADD_PRODUCTS(0);
        if constexpr (N > 1) ADD_PRODUCTS(1);
        if constexpr (N > 2) ADD_PRODUCTS(2);
        if constexpr (N > 3) ADD_PRODUCTS(3);
    }
}

// --- splitting ----------------------------------------------------------------------------------------------

// x's P parts, each with the 16 low bits empty; rounded, so that what is left out is small and has no bias.
template <int P>
INLINE void split_parts(V x, __m512i (&parts)[P]) {
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    for (int p = 0; p < P; ++p) {
        parts[p] = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper);
        if (p + 1 < P) x = x - _mm512_castsi512_ps(parts[p]);
    }
}

// Upper halves of 32 numbers, side by side.
INLINE __m512i upper_halves(__m512i first, __m512i second) {
    alignas(64) static const uint16_t odd[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    return _mm512_permutex2var_epi16(first, _mm512_load_si512(odd), second);
}

// Rows of k numbers as left factors: [row][part][depth], zero after k.
template <int P>
void split_rows(int64_t rows, Rows x, int64_t begin, int64_t k, Half* to) {
    const int64_t depth = bilstm::round_up(k, DEEP);
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t i = 0; i < depth; i += DEEP) {
            const float* from = x[row] + begin + i;
            __m512i first_parts[P], second_parts[P];
            split_parts<P>(load_first(from, k - i), first_parts);
            split_parts<P>(k - i > LANES ? load_first(from + LANES, k - i - LANES) : splat(0.0f), second_parts);
            for (int p = 0; p < P; ++p)
                _mm512_storeu_si512(to + (row * P + p) * depth + i, upper_halves(first_parts[p], second_parts[p]));
        }
}

// 16 numbers of two neighbouring k as a row of a right factor: in each 32 bits the even k below, the odd above.
template <int P>
INLINE void split_pair(V even, V odd, __m512i (&pairs)[P]) {
    __m512i even_parts[P];
    split_parts<P>(even, even_parts);
    split_parts<P>(odd, pairs);
    for (int p = 0; p < P; ++p) pairs[p] = _mm512_or_si512(_mm512_srli_epi32(even_parts[p], 16), pairs[p]);
}

template <int P>
INLINE void store_pair(V even, V odd, float* tile, int64_t pair) {
    __m512i pairs[P];
    split_pair<P>(even, odd, pairs);
    for (int p = 0; p < P; ++p) _mm512_storeu_si512(tile + p * TILE_FLOATS + pair * TILE, pairs[p]);
}

}  // namespace
