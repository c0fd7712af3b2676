// AVX-512: 16 lanes, 32 registers. Included by one translation unit, which alone is compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

using V = __m512;
constexpr int LANES = 16;
constexpr int ROWS = 6;  // 6 rows × 4 gates = 24 sums; with 6 inputs and a weight 31 of 32 registers

inline V splat(float x) { return _mm512_set1_ps(x); }
inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, V x) { _mm512_storeu_ps(p, x); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a·b
inline V minimum(V x, V high) { return _mm512_min_ps(x, high); }  // of NaN and a number: the second
// x = whole + fraction, |fraction| <= 1/2; an infinite x has the fraction 0.
inline void split(V x, V& whole, V& fraction) {
    fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    whole = x - fraction;
}
inline V times_power_of_two(V x, V whole) { return _mm512_scalef_ps(x, whole); }
inline V rough_reciprocal(V x) { return _mm512_rcp14_ps(x); }  // relative error below 2^-14
constexpr int RECIPROCAL_STEPS = 1;                            // each doubles the right bits

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline V load_first(const float* p, int64_t n) { return n >= LANES ? load(p) : _mm512_maskz_loadu_ps(first(n), p); }
inline void store_first(float* p, int64_t n, V x) {
    if (n >= LANES)
        store(p, x);
    else
        _mm512_mask_storeu_ps(p, first(n), x);
}

// p[0], p[stride], …, as many as asked; the other lanes are 0.
inline V gather(const float* p, int64_t stride, int64_t n) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(static_cast<int>(stride)));
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), n >= LANES ? 0xffff : first(n), at, p, 4);
}

}  // namespace
