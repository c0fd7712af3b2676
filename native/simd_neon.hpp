// NEON on 64-bit ARM: 4 lanes, 32 registers. Included by one translation unit.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace {

using V = float32x4_t;
constexpr int LANES = 4;
constexpr int ROWS = 6;  // 6 rows × 4 gates = 24 sums; with 6 inputs and a weight 31 of 32 registers

inline V splat(float x) { return vdupq_n_f32(x); }
inline V load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, V x) { vst1q_f32(p, x); }
inline V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
inline V fnma(V a, V b, V c) { return vfmsq_f32(c, a, b); }  // c - a·b
inline V minimum(V x, V high) { return vbslq_f32(vcltq_f32(x, high), x, high); }  // of NaN and a number: the second
// max(x, -126) = whole + fraction, |fraction| <= 1/2: 2^-126 is the smallest power that float32 holds in full.
inline void split(V x, V& whole, V& fraction) {
    x = vmaxq_f32(x, splat(-126.0f));  // NaN stays NaN
    whole = vrndnq_f32(x);
    fraction = vsubq_f32(x, whole);
}
inline V times_power_of_two(V x, V whole) {
    const int32x4_t exponent = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(whole), vdupq_n_s32(127)), 23);
    return vmulq_f32(x, vreinterpretq_f32_s32(exponent));
}
inline V rough_reciprocal(V x) { return vrecpeq_f32(x); }  // 8 right bits
constexpr int RECIPROCAL_STEPS = 2;

inline V load_first(const float* p, int64_t n) {
    if (n >= LANES) return load(p);
    float x[LANES] = {};
    std::memcpy(x, p, sizeof(float) * n);
    return load(x);
}
inline void store_first(float* p, int64_t n, V x) {
    if (n >= LANES) return store(p, x);
    float all[LANES];
    store(all, x);
    std::memcpy(p, all, sizeof(float) * n);
}

// p[0], p[stride], …, as many as asked; the other lanes are 0.
inline V gather(const float* p, int64_t stride, int64_t n) {
    float x[LANES] = {};
    for (int lane = 0; lane < LANES && lane < n; ++lane) x[lane] = p[lane * stride];
    return load(x);
}

}  // namespace
