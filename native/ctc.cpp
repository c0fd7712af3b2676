// The forward-backward and Viterbi algorithms of CTC, row by row. A row's sums are made with scaled probabilities, and
// where these prove to have lost something, again with logarithms; knows no instruction sets: the inner loops run over
// adjacent numbers, and the compiler makes vectors of them.
//
// The states of a row with u tokens are 2u + 1: blank, first token, blank, …, last token, blank. A step stays, goes on
// by one, or goes on by two, past a blank between unequal tokens.
#include "ctc.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "doubles.hpp"
#include "pool.hpp"

namespace bilstm {

namespace {

// Scaled vectors sum to 1, so what underflows in a step is below 1e-307 of all that was there. If every step's scale
// is at least FLOOR, that is below 1e-167 of what is left; and if forward and backward vector have a product of at
// least FLOOR at every step, what was lost on the way is below 1e-27 of the result for each state and step.
constexpr double FLOOR = 1e-140;

// --- one row -------------------------------------------------------------------------------------------------

struct Row {
    int64_t steps, K, tokens, states;
    const int64_t* text;
    std::vector<double> skip;  // 1 where a state may be reached from the last but one, else 0; two more at the end

    Row(const Ctc& ctc, int64_t b)
        : steps(ctc.lengths[b]), K(ctc.K), tokens(ctc.text_lengths[b]), states(2 * tokens + 1),
          text(ctc.texts + b * ctc.U), skip(states + 2, 0.0) {
        for (int64_t u = 1; u < tokens; ++u) skip[2 * u + 1] = text[u] != text[u - 1];
    }

    int64_t label(int64_t s) const { return s % 2 ? text[s / 2] : 0; }

    bool fits() const {
        int64_t needed = tokens;
        for (int64_t u = 1; u < tokens; ++u) needed += text[u] == text[u - 1];
        return needed <= steps;
    }
};

// (steps, K) probabilities, or (if asked for) their logarithms.
void softmax(const float* outputs, int64_t steps, int64_t K, bool logarithms, double* p) {
    for (int64_t t = 0; t < steps; ++t) {
        const float* x = outputs + t * K;
        double *y = p + t * K, total = 0;
        const double highest = *std::max_element(x, x + K);
        for (int64_t k = 0; k < K; ++k) y[k] = std::exp(x[k] - highest);
        for (int64_t k = 0; k < K; ++k) total += y[k];
        if (logarithms) {
            const double normaliser = highest + std::log(total);
            for (int64_t k = 0; k < K; ++k) y[k] = x[k] - normaliser;
        } else {
            const double factor = 1 / total;
            for (int64_t k = 0; k < K; ++k) y[k] *= factor;
        }
    }
}

// What each state has of its step: (steps, states).
void gather(const Row& row, const double* p, double* own) {
    for (int64_t t = 0; t < row.steps; ++t, p += row.K, own += row.states) {
        for (int64_t s = 0; s < row.states; s += 2) own[s] = p[0];
        for (int64_t u = 0; u < row.tokens; ++u) own[2 * u + 1] = p[row.text[u]];
    }
}

// Divides by the sum, which it returns.
double scale(double* x, int64_t size) {
    const double total = sum(x, size), factor = 1 / total;
    for (int64_t s = 0; s < size; ++s) x[s] *= factor;
    return total;
}

// --- scaled probabilities ------------------------------------------------------------------------------------

// `forward` (steps + 1, 2 + states) has two zeros before each vector; vector 0 is that before the first step. Returns
// the logarithm of the whole, -inf where numbers were too small to tell.
double scaled_forward(const Row& row, const double* own, double* forward) {
    const int64_t S = row.states, apart = S + 2;
    const double* skip = row.skip.data();
    std::fill_n(forward, apart, 0.0);
    forward[2] = 1;
    double log_p = 0;
    for (int64_t t = 0; t < row.steps; ++t, own += S) {
        const double* a = forward + t * apart + 2;
        double* __restrict to = forward + (t + 1) * apart + 2;
        to[-2] = to[-1] = 0;
        for (int64_t s = 0; s < S; ++s) to[s] = (a[s] + a[s - 1] + skip[s] * a[s - 2]) * own[s];
        const double total = scale(to, S);
        if (!(total >= FLOOR)) return -INF;
        log_p += std::log(total);
    }
    const double* last = forward + row.steps * apart + 2;
    return log_p + std::log(last[S - 1] + last[S - 2]);
}

// The probability of each state at each step, over `own`; false where numbers were too small to tell.
bool scaled_backward(const Row& row, const double* forward, double* own) {
    const int64_t S = row.states, apart = S + 2;
    const double* skip = row.skip.data();
    std::vector<double> follow(S, 0.0), ahead(S + 2, 0.0);
    double* b = follow.data();
    b[S - 1] = 1;
    if (S > 1) b[S - 2] = 1;
    for (int64_t t = row.steps - 1; t >= 0; --t) {
        const double* a = forward + (t + 1) * apart + 2;
        double *here = own + t * S, *next = ahead.data(), total = 0;
        for (int64_t s = 0; s < S; ++s) next[s] = here[s] * b[s];
        for (int64_t s = 0; s < S; ++s) here[s] = a[s] * b[s];
        for (int64_t s = 0; s < S; ++s) b[s] = next[s] + next[s + 1] + skip[s + 2] * next[s + 2];
        total = scale(here, S);
        if (!(total >= FLOOR && scale(b, S) >= FLOOR)) return false;
    }
    return true;
}

// --- logarithms ----------------------------------------------------------------------------------------------

double log_add(double x, double y, double z = -INF) {
    const double highest = std::max(x, std::max(y, z));
    if (highest == -INF) return x + y + z;  // NaN where one is
    return highest + std::log(std::exp(x - highest) + std::exp(y - highest) + std::exp(z - highest));
}

double log_forward(const Row& row, const double* own, double* forward) {
    const int64_t S = row.states, apart = S + 2;
    std::fill_n(forward, apart, -INF);
    forward[2] = 0;
    for (int64_t t = 0; t < row.steps; ++t, own += S) {
        const double* a = forward + t * apart + 2;
        double* to = forward + (t + 1) * apart + 2;
        to[-2] = to[-1] = -INF;
        for (int64_t s = 0; s < S; ++s)
            to[s] = log_add(a[s], a[s - 1], row.skip[s] > 0 ? a[s - 2] : -INF) + own[s];
    }
    const double* last = forward + row.steps * apart + 2;
    return log_add(last[S - 1], last[S - 2]);
}

void log_backward(const Row& row, const double* forward, double log_p, double* own) {
    const int64_t S = row.states, apart = S + 2;
    std::vector<double> b(S, -INF), ahead(S + 2, -INF);
    b[S - 1] = 0;
    if (S > 1) b[S - 2] = 0;
    for (int64_t t = row.steps - 1; t >= 0; --t) {
        const double* a = forward + (t + 1) * apart + 2;
        double* here = own + t * S;
        for (int64_t s = 0; s < S; ++s) ahead[s] = here[s] + b[s];
        for (int64_t s = 0; s < S; ++s) here[s] = std::exp(a[s] + b[s] - log_p);
        for (int64_t s = 0; s < S; ++s)
            b[s] = log_add(ahead[s], ahead[s + 1], row.skip[s + 2] > 0 ? ahead[s + 2] : -INF);
    }
}

// --- loss and gradient ---------------------------------------------------------------------------------------

struct Scratch {
    std::unique_ptr<double[]> p, own, forward;

    explicit Scratch(const Row& row)
        : p(room(row.steps * row.K)), own(room(row.steps * row.states)),
          forward(room((row.steps + 1) * (row.states + 2))) {}
};

// Leaves probabilities of tokens in p and of states in own; log P(text), -inf where numbers were too small to tell.
double scaled_run(const Row& row, const float* outputs, Scratch& scratch) {
    softmax(outputs, row.steps, row.K, false, scratch.p.get());
    gather(row, scratch.p.get(), scratch.own.get());
    const double log_p = scaled_forward(row, scratch.own.get(), scratch.forward.get());
    return log_p > -INF && scaled_backward(row, scratch.forward.get(), scratch.own.get()) ? log_p : -INF;
}

double log_run(const Row& row, const float* outputs, Scratch& scratch) {
    softmax(outputs, row.steps, row.K, true, scratch.p.get());
    gather(row, scratch.p.get(), scratch.own.get());
    const double log_p = log_forward(row, scratch.own.get(), scratch.forward.get());
    log_backward(row, scratch.forward.get(), log_p, scratch.own.get());
    softmax(outputs, row.steps, row.K, false, scratch.p.get());
    return log_p;
}

// softmax - occupancy.
void write_gradients(const Row& row, const Scratch& scratch, float* to) {
    for (int64_t t = 0; t < row.steps; ++t) {
        double* p = scratch.p.get() + t * row.K;
        const double* own = scratch.own.get() + t * row.states;
        for (int64_t s = 0; s < row.states; s += 2) p[0] -= own[s];
        for (int64_t u = 0; u < row.tokens; ++u) p[row.text[u]] -= own[2 * u + 1];
        for (int64_t k = 0; k < row.K; ++k) to[t * row.K + k] = static_cast<float>(p[k]);
    }
}

double row_loss(const Row& row, const float* outputs, float* gradients) {
    if (!row.fits()) return INF;
    if (row.steps == 0) return 0;
    Scratch scratch(row);
    double log_p = scaled_run(row, outputs, scratch);
    if (!(log_p > -INF)) log_p = log_run(row, outputs, scratch);
    if (gradients && log_p != -INF) write_gradients(row, scratch, gradients);
    return -log_p;
}

// --- the best alignment --------------------------------------------------------------------------------------

// The state of each step, and the logarithm of their probability.
double viterbi(const Row& row, const double* own, double* forward, std::vector<int64_t>& path) {
    const int64_t S = row.states, apart = S + 2;
    std::fill_n(forward, apart, -INF);
    forward[2] = 0;
    for (int64_t t = 0; t < row.steps; ++t) {
        const double* a = forward + t * apart + 2;
        double* to = forward + (t + 1) * apart + 2;
        to[-2] = to[-1] = -INF;
        for (int64_t s = 0; s < S; ++s)
            to[s] = std::max(std::max(a[s], a[s - 1]), row.skip[s] > 0 ? a[s - 2] : -INF) + own[t * S + s];
    }
    const double* a = forward + row.steps * apart + 2;
    int64_t s = S > 1 && a[S - 2] > a[S - 1] ? S - 2 : S - 1;
    const double log_p = a[s];
    for (int64_t t = row.steps - 1; t >= 0; --t) {
        path[t] = s;
        a -= apart;
        const double skipped = row.skip[s] > 0 ? a[s - 2] : -INF, stayed = a[s], came = a[s - 1];
        if (skipped > stayed && skipped > came)
            s -= 2;
        else if (came > stayed)
            s -= 1;
    }
    return log_p;
}

void align_row(const Row& row, const double* log_p, int64_t* begin, int64_t* end, double* confidence, double& whole) {
    whole = -INF;
    if (!row.fits()) return;
    const auto own = room(row.steps * row.states), forward = room((row.steps + 1) * (row.states + 2));
    std::vector<int64_t> path(row.steps);
    gather(row, log_p, own.get());
    whole = viterbi(row, own.get(), forward.get(), path);
    std::fill_n(end, row.tokens, int64_t{0});
    for (int64_t t = 0; t < row.steps && whole > -INF; ++t) {
        if (path[t] % 2 == 0) continue;
        const int64_t u = path[t] / 2;
        const double p = std::exp(own[t * row.states + path[t]]);
        const bool first = end[u] == 0;
        if (first) begin[u] = t;
        confidence[u] = first ? p : std::max(confidence[u], p);
        end[u] = t + 1;
    }
}

// No more than have something to do for a tenth of a millisecond each: see crf.cpp.
int threads_worth(const Ctc& ctc) {
    constexpr int64_t NUMBERS = 1 << 14;
    return static_cast<int>(std::clamp<int64_t>(ctc.B * ctc.T * (ctc.K + ctc.U) / NUMBERS, 1, ctc.threads));
}

}  // namespace

void ctc_loss(const Ctc& ctc, const float* outputs, double* loss, float* gradients) {
    const int64_t TK = ctc.T * ctc.K;
    parallel(threads_worth(ctc), ctc.B, [&](int64_t b) {
        if (gradients) std::fill_n(gradients + b * TK, TK, 0.0f);
        loss[b] = row_loss(Row(ctc, b), outputs + b * TK, gradients ? gradients + b * TK : nullptr);
    });
}

void ctc_align(const Ctc& ctc, const double* log_p, const Alignments& to) {
    parallel(threads_worth(ctc), ctc.B, [&](int64_t b) {
        const int64_t at = b * ctc.U;
        align_row(Row(ctc, b), log_p + b * ctc.T * ctc.K, to.begin + at, to.end + at, to.confidence + at,
                  to.log_probability[b]);
    });
}

}  // namespace bilstm
