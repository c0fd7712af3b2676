// AVX2 with FMA: 8 lanes, 16 registers. Included by one translation unit, which alone is compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

using V = __m256;
constexpr int LANES = 8;
constexpr int ROWS = 3;  // 3 rows × 4 gates = 12 sums; with 3 inputs and a weight all 16 registers

inline V splat(float x) { return _mm256_set1_ps(x); }
inline V load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, V x) { _mm256_storeu_ps(p, x); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a·b
inline V minimum(V x, V high) { return _mm256_min_ps(x, high); }  // of NaN and a number: the second
// max(x, -126) = whole + fraction, |fraction| <= 1/2: 2^-126 is the smallest power that float32 holds in full.
inline void split(V x, V& whole, V& fraction) {
    x = _mm256_max_ps(splat(-126.0f), x);
    whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    fraction = x - whole;
}
inline V times_power_of_two(V x, V whole) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return x * _mm256_castsi256_ps(exponent);
}
inline V rough_reciprocal(V x) { return _mm256_rcp_ps(x); }  // relative error below 1.5·2^-12
constexpr int RECIPROCAL_STEPS = 2;

inline __m256i first(int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}
inline V load_first(const float* p, int64_t n) { return n >= LANES ? load(p) : _mm256_maskload_ps(p, first(n)); }
inline void store_first(float* p, int64_t n, V x) {
    if (n >= LANES)
        store(p, x);
    else
        _mm256_maskstore_ps(p, first(n), x);
}

// p[0], p[stride], …, as many as asked; the other lanes are 0.
inline V gather(const float* p, int64_t stride, int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i at = _mm256_mullo_epi32(lanes, _mm256_set1_epi32(static_cast<int>(stride)));
    return _mm256_mask_i32gather_ps(_mm256_setzero_ps(), p, at, _mm256_castsi256_ps(first(n)), 4);
}

}  // namespace
