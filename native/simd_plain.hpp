// Any processor: 4 lanes in the compiler's own vectors. Included by one translation unit.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

typedef float V __attribute__((vector_size(16)));
typedef int32_t Bits __attribute__((vector_size(16)));
constexpr int LANES = 4;
constexpr int ROWS = 2;  // 2 rows × 4 gates = 8 sums, 2 inputs and a weight in SSE2's 16 registers

inline V splat(float x) { return V{x, x, x, x}; }
inline V load(const float* p) {
    V x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
inline void store(float* p, V x) { std::memcpy(p, &x, sizeof x); }
inline V fma(V a, V b, V c) { return a * b + c; }
inline V fnma(V a, V b, V c) { return c - a * b; }
inline V minimum(V x, V high) { return x < high ? x : high; }  // of NaN and a number: the second
// max(x, -126) = whole + fraction, |fraction| <= 1/2: 2^-126 is the smallest power that float32 holds in full.
inline void split(V x, V& whole, V& fraction) {
    const V low = splat(-126.0f), shift = splat(12582912.0f);  // 1.5·2^23: what is added to it keeps no fraction
    x = x < low ? low : x;
    whole = (x + shift) - shift;
    fraction = x - whole;
}
inline V times_power_of_two(V x, V whole) {
    const Bits exponent = (__builtin_convertvector(whole, Bits) + 127) << 23;
    V power;
    std::memcpy(&power, &exponent, sizeof power);
    return x * power;
}
inline V rough_reciprocal(V x) { return 1.0f / x; }
constexpr int RECIPROCAL_STEPS = 0;

inline V load_first(const float* p, int64_t n) {
    V x = splat(0.0f);
    std::memcpy(&x, p, sizeof(float) * (n < LANES ? n : LANES));
    return x;
}
inline void store_first(float* p, int64_t n, V x) { std::memcpy(p, &x, sizeof(float) * (n < LANES ? n : LANES)); }

// p[0], p[stride], …, as many as asked; the other lanes are 0.
inline V gather(const float* p, int64_t stride, int64_t n) {
    V x = splat(0.0f);
    for (int lane = 0; lane < LANES && lane < n; ++lane) x[lane] = p[lane * stride];
    return x;
}

}  // namespace
