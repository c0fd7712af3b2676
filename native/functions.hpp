// exp, σ and tanh of vectors; included after a simd header, in the same unnamed namespace as the loops of tile.hpp.
#pragma once

#define INLINE inline __attribute__((always_inline))

namespace {

// They take several vectors at once and go through them step by step together: one alone would wait for itself,
// since each step needs the one before, and the processor looks only about a hundred instructions ahead.

// 2^min(x, 30) = (1 + u) · 2^whole: x becomes u. Relative error of u below 1.5e-7, also where u is near 0; of the power
// below 1e-7. The polynomial is the minimax one of degree 6 on -1/2…1/2 among those that are 1 at 0, relative error
// 2e-9. NaN stays NaN.
template <int N>
INLINE void exp2_parts(V (&x)[N], V (&whole)[N]) {
    V r[N];
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) split(minimum(splat(30.0f), x[k]), whole[k], r[k]);
    const float coefficients[] = {1.33988750e-3f, 9.61843692e-3f, 5.55033237e-2f, 2.40226477e-1f, 6.93147182e-1f};
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) x[k] = splat(1.53533620e-4f);
#pragma GCC unroll 5
    for (int degree = 0; degree < 5; ++degree)
#pragma GCC unroll 8
        for (int k = 0; k < N; ++k) x[k] = fma(x[k], r[k], splat(coefficients[degree]));
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) x[k] = x[k] * r[k];
}

// 1 + 2^x from x's parts.
INLINE V one_plus_power(V u, V whole) {
    return splat(1.0f) + times_power_of_two(splat(1.0f) + u, whole);
}

// 2^x - 1 from x's parts, exact to the last bits near 0 too: there tanh is almost x, and networks begin there.
INLINE V power_less_one(V u, V whole) {
    const V power = times_power_of_two(splat(1.0f), whole);
    return fma(u, power, power - splat(1.0f));
}

INLINE V reciprocal(V x) {
    V y = rough_reciprocal(x);
    for (int step = 0; step < RECIPROCAL_STEPS; ++step) y = fma(y, fnma(x, y, splat(1.0f)), y);
    return y;
}

constexpr float LOG2_E = 1.44269504f;

// i, f, o = σ(x) = 1 / (1 + e^-x) and g = tanh(x) = (e^2x - 1) / (e^2x + 1), relative errors of a few 1e-7. Of the four
// denominators one product is inverted: at 2^30 each it does not overflow, and e^-x = 2^30 is σ = 1e-9.
INLINE void activate(V (&x)[4]) {
    V whole[4];
    x[0] = x[0] * splat(-LOG2_E);
    x[1] = x[1] * splat(-LOG2_E);
    x[2] = x[2] * splat(2 * LOG2_E);
    x[3] = x[3] * splat(-LOG2_E);
    exp2_parts(x, whole);
    const V i = one_plus_power(x[0], whole[0]), f = one_plus_power(x[1], whole[1]), o = one_plus_power(x[3], whole[3]);
    const V rise = power_less_one(x[2], whole[2]), g = rise + splat(2.0f);
    const V i_f = i * f, g_o = g * o;
    const V all = reciprocal(i_f * g_o);
    const V by_i_f = all * g_o, by_g_o = all * i_f;
    x[0] = by_i_f * f;
    x[1] = by_i_f * i;
    x[2] = by_g_o * o * rise;
    x[3] = by_g_o * g;
}

// tanh, relative error of a few 1e-7.
template <int N>
INLINE void tanh(V (&x)[N]) {
    V whole[N];
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) x[k] = x[k] * splat(2 * LOG2_E);
    exp2_parts(x, whole);
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) {
        const V rise = power_less_one(x[k], whole[k]);
        x[k] = rise * reciprocal(rise + splat(2.0f));
    }
}

}  // namespace
