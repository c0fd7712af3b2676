// The forward-backward and Viterbi algorithms of a linear-chain CRF, row by row. A row is computed with scaled
// probabilities where these are safe, else with logarithms; knows no lanes and no instruction sets: the inner loops
// run over adjacent numbers, and the compiler makes vectors of them.
#include "crf.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "crf_weights.hpp"
#include "doubles.hpp"
#include "pool.hpp"

namespace bilstm {

namespace {

constexpr int64_t CHUNKS = 16;  // of rows, each with its own sum over its rows; fixed, so that threads change no bit

// --- loops over tags ---------------------------------------------------------------------------------------

double product_sum(const double* x, const double* y, int64_t K) {
    double parts[4] = {};  // as in sum
    int64_t j = 0;
    for (; j + 4 <= K; j += 4)
        for (int k = 0; k < 4; ++k) parts[k] += x[j + k] * y[j + k];
    for (; j < K; ++j) parts[0] += x[j] * y[j];
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

// out_j += Σ_i x_i rows_ij for n rows that lie `apart`; four at a time, so that out is loaded and stored less often.
void add_rows(const double* x, const double* rows, int64_t n, int64_t x_apart, int64_t apart, int64_t K,
              double* __restrict out) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const double x0 = x[i * x_apart], x1 = x[(i + 1) * x_apart], x2 = x[(i + 2) * x_apart], x3 = x[(i + 3) * x_apart];
        const double *r0 = rows + i * apart, *r1 = r0 + apart, *r2 = r1 + apart, *r3 = r2 + apart;
        for (int64_t j = 0; j < K; ++j) out[j] += (x0 * r0[j] + x1 * r1[j]) + (x2 * r2[j] + x3 * r3[j]);
    }
    for (; i < n; ++i) {
        const double x0 = x[i * x_apart];
        const double* r0 = rows + i * apart;
        for (int64_t j = 0; j < K; ++j) out[j] += x0 * r0[j];
    }
}

// out = x · matrix, both of width K.
void multiply(const double* x, const double* matrix, int64_t K, double* out) {
    std::fill_n(out, K, 0.0);
    add_rows(x, matrix, K, 1, K, K, out);
}

void divide(double* x, double by, int64_t K) {
    const double factor = 1 / by;  // at least 1/K^2 e^-S: see crf_weights.cpp
    for (int64_t j = 0; j < K; ++j) x[j] *= factor;
}

// log Σ_j exp(term(j)), right for any terms: -inf where all are, NaN where one is.
template <class Term>
double log_sum_exp(int64_t K, Term term) {
    double highest = -INF, total = 0;
    for (int64_t j = 0; j < K; ++j) {
        const double x = term(j);
        if (x > highest || std::isnan(x)) highest = x;
    }
    if (highest == -INF) return highest;
    for (int64_t j = 0; j < K; ++j) total += std::exp(term(j) - highest);
    return highest + std::log(total);
}

// --- one row -------------------------------------------------------------------------------------------------

struct Row {
    const Crf& crf;
    int64_t length;
    const float* emissions;  // (length, K)
    const int64_t* tags;     // (length), or null

    Row(const Crf& crf, const int64_t* all_tags, int64_t b)
        : crf(crf), length(crf.lengths[b]), emissions(crf.emissions + b * crf.T * crf.K),
          tags(all_tags ? all_tags + b * crf.T : nullptr) {}

    double transition(int64_t i, int64_t j) const { return crf.transitions[i * crf.K + j]; }
    double emission(int64_t t, int64_t j) const { return emissions[t * crf.K + j]; }
};

// What the forward pass of a row leaves for its backward pass.
struct Kept {
    double *forward, *step;  // (length, K) each: scaled or log forward vectors; exp(emission - highest) if scaled
    bool scaled;
    double log_z;
};

// Sums over rows, of which each chunk of rows has its own.
struct Counts {
    double *transitions, *start, *end;  // (K, K), (K), (K)
};

double score(const Row& row) {
    if (row.length == 0) return 0;
    double total = row.crf.start[row.tags[0]];
    for (int64_t t = 0; t < row.length; ++t) {
        total += row.emission(t, row.tags[t]);
        if (t > 0) total += row.transition(row.tags[t - 1], row.tags[t]);
    }
    return total + row.crf.end[row.tags[row.length - 1]];
}

double scaled_forward(const Row& row, const Weights& weights, double* forward, double* step) {
    const int64_t K = row.crf.K;
    double log_z = weights.highest_start + weights.highest * static_cast<double>(row.length - 1) + weights.highest_end;
    for (int64_t t = 0; t < row.length; ++t) {
        const float* e = row.emissions + t * K;
        double *a = forward + t * K, *w = step + t * K;
        const double highest = *std::max_element(e, e + K);
        for (int64_t j = 0; j < K; ++j) w[j] = std::exp(e[j] - highest);
        if (t == 0)
            std::copy_n(weights.start.data(), K, a);
        else
            multiply(a - K, weights.forth.data(), K, a);
        for (int64_t j = 0; j < K; ++j) a[j] *= w[j];
        const double total = sum(a, K);
        divide(a, total, K);
        log_z += highest + std::log(total);
    }
    return log_z + std::log(product_sum(forward + (row.length - 1) * K, weights.end.data(), K));
}

double log_forward(const Row& row, double* forward) {
    const int64_t K = row.crf.K;
    for (int64_t t = 0; t < row.length; ++t) {
        double* a = forward + t * K;
        for (int64_t j = 0; j < K; ++j) {
            const double before =
                t == 0 ? row.crf.start[j] : log_sum_exp(K, [&](int64_t i) { return a[i - K] + row.transition(i, j); });
            a[j] = before + row.emission(t, j);
        }
    }
    const double* last = forward + (row.length - 1) * K;
    return log_sum_exp(K, [&](int64_t j) { return last[j] + row.crf.end[j]; });
}

void run_forward(const Row& row, const Weights& weights, Kept& kept) {
    kept.scaled = weights.serve(row.emissions, row.length, row.crf.K);
    if (row.length == 0)
        kept.log_z = 0;
    else if (kept.scaled)
        kept.log_z = scaled_forward(row, weights, kept.forward, kept.step);
    else
        kept.log_z = log_forward(row, kept.forward);
}

// Expected counts times d: of tags at steps into `expected` (length, K), of transitions into `counts`, which may be
// null. `follow` (length, K) is scratch.
void scaled_backward(const Row& row, const Weights& weights, const Kept& kept, double d, double* expected,
                     double* follow, double* counts) {
    const int64_t K = row.crf.K, last = row.length - 1;
    std::vector<double> b = weights.end, ahead(K);
    double total = product_sum(kept.forward + last * K, b.data(), K);
    for (int64_t t = last;; --t) {
        const double *a = kept.forward + t * K, *w = kept.step + t * K;
        for (int64_t j = 0; j < K; ++j) expected[t * K + j] = d * (a[j] * b[j] / total);
        if (t == 0) break;
        for (int64_t j = 0; j < K; ++j) ahead[j] = w[j] * b[j];
        multiply(ahead.data(), weights.back.data(), K, b.data());
        const double scale = sum(b.data(), K);
        divide(b.data(), scale, K);
        divide(ahead.data(), scale, K);
        total = product_sum(a - K, b.data(), K);
        for (int64_t j = 0; j < K; ++j) follow[t * K + j] = d * (ahead[j] / total);
    }
    if (!counts) return;
    for (int64_t i = 0; i < K; ++i)  // the count of (i, j) is this times exp(transition), which comes at the end
        add_rows(kept.forward + i, follow + K, last, K, K, K, counts + i * K);
}

void log_backward(const Row& row, const Kept& kept, double d, double* expected, double* counts) {
    const int64_t K = row.crf.K;
    std::vector<double> b(row.crf.end, row.crf.end + K), ahead(K);
    for (int64_t t = row.length - 1;; --t) {
        const double* a = kept.forward + t * K;
        for (int64_t j = 0; j < K; ++j) expected[t * K + j] = d * std::exp(a[j] + b[j] - kept.log_z);
        if (t == 0) break;
        for (int64_t j = 0; j < K; ++j) ahead[j] = row.emission(t, j) + b[j];
        for (int64_t i = 0; i < K; ++i) {
            b[i] = log_sum_exp(K, [&](int64_t j) { return row.transition(i, j) + ahead[j]; });
            for (int64_t j = 0; counts && j < K; ++j)
                counts[i * K + j] += d * std::exp(a[i - K] + row.transition(i, j) + ahead[j] - kept.log_z);
        }
    }
}

// d times the counts of the row's own tags is taken off.
void subtract_observed(const Row& row, double d, double* expected, double* transitions) {
    const int64_t K = row.crf.K;
    for (int64_t t = 0; t < row.length; ++t) {
        expected[t * K + row.tags[t]] -= d;
        if (t > 0) transitions[row.tags[t - 1] * K + row.tags[t]] -= d;
    }
}

// --- many rows -----------------------------------------------------------------------------------------------

// A row's place in the reserve: forward and step vectors, then log Z and the result.
int64_t row_size(const Crf& crf) {
    return 2 * crf.T * crf.K + 2;
}

Kept kept_at(const Crf& crf, double* at) {
    return {at, at + crf.T * crf.K, false, 0};
}

// The rows of a chunk: their d_emissions are written, their other counts added up.
void chunk_backward(const Crf& crf, const Weights& weights, const int64_t* tags, const double* d_result,
                    const double* reserve, int64_t begin, int64_t end, float* d_emissions, const Counts& counts) {
    const int64_t K = crf.K, TK = crf.T * K;
    const auto expected = room(TK), follow = room(TK);
    std::vector<double> scaled(weights.forth.size());  // those counts that wait for their factor exp(transition)
    for (int64_t b = begin; b < end; ++b) {
        const Row row(crf, tags, b);
        float* to = d_emissions + b * TK;
        std::fill_n(to, TK, 0.0f);
        // const is given back at once: the passes only read
        Kept kept = kept_at(crf, const_cast<double*>(reserve) + b * row_size(crf));
        kept.log_z = kept.forward[2 * TK];
        const double d = d_result[b];
        if (row.length == 0 || std::isinf(kept.forward[2 * TK + 1])) continue;
        if (weights.serve(row.emissions, row.length, K))
            scaled_backward(row, weights, kept, d, expected.get(), follow.get(), scaled.data());
        else
            log_backward(row, kept, d, expected.get(), counts.transitions);
        if (tags) subtract_observed(row, d, expected.get(), counts.transitions);
        const double *first = expected.get(), *last = first + (row.length - 1) * K;
        for (int64_t j = 0; j < K; ++j) {
            counts.start[j] += first[j];
            counts.end[j] += last[j];
        }
        for (int64_t k = 0; k < row.length * K; ++k) to[k] = static_cast<float>(first[k]);
    }
    for (size_t k = 0; k < scaled.size(); ++k) counts.transitions[k] += scaled[k] * weights.forth[k];
}

// Of each chunk's counts, in order; what is forbidden has none.
void add_up(const std::vector<double>& counts, int64_t chunks, int64_t apart, int64_t offset, int64_t size,
            const float* values, float* out) {
    for (int64_t k = 0; k < size; ++k) {
        double total = 0;
        for (int64_t c = 0; c < chunks; ++c) total += counts[c * apart + offset + k];
        out[k] = values[k] == -INF ? 0.0f : static_cast<float>(total);
    }
}

// `transitions` are the row's in double. Which tag came before is found again on the way back, with the same sums:
// so the way forward is maxima only, which processors have.
double viterbi(const Row& row, const std::vector<double>& transitions, int64_t* tags) {
    const int64_t K = row.crf.K;
    std::vector<double> scores(row.length * K, -INF);  // of the best path that ends there
    for (int64_t t = 0; t < row.length; ++t) {
        double* here = scores.data() + t * K;
        if (t == 0) std::copy_n(row.crf.start, K, here);
        for (int64_t i = 0; t > 0 && i < K; ++i) {
            const double before = here[i - K], *to = transitions.data() + i * K;
            for (int64_t j = 0; j < K; ++j) {
                const double through = before + to[j];
                here[j] = through > here[j] ? through : here[j];
            }
        }
        for (int64_t j = 0; j < K; ++j) here[j] += row.emission(t, j);
    }
    const auto lowest_best = [&](auto score) {
        int64_t found = 0;
        for (int64_t i = 1; i < K; ++i)
            if (score(i) > score(found)) found = i;
        return found;
    };
    const double* here = scores.data() + (row.length - 1) * K;
    int64_t tag = lowest_best([&](int64_t i) { return here[i] + row.crf.end[i]; });
    const double score = here[tag] + row.crf.end[tag];
    if (score == -INF) return score;
    tags[row.length - 1] = tag;
    for (int64_t t = row.length - 1; t > 0; --t) {
        here -= K;
        tag = lowest_best([&](int64_t i) { return here[i] + transitions[i * K + tag]; });
        tags[t - 1] = tag;
    }
    return score;
}

// No more than have something to do: below a tenth of a millisecond each, to call another one gains little, and where
// it is busy elsewhere its owner waits for milliseconds.
int threads_worth(const Crf& crf) {
    constexpr int64_t PRODUCTS = 1 << 17;
    return static_cast<int>(std::clamp<int64_t>(crf.B * crf.T * crf.K * crf.K / PRODUCTS, 1, crf.threads));
}

}  // namespace

int64_t crf_reserve_size(const Crf& crf) {
    return crf.B * row_size(crf);
}

void crf_forward(const Crf& crf, const int64_t* tags, double* result, double* reserve) {
    const Weights weights(crf);
    parallel(threads_worth(crf), crf.B, [&](int64_t b) {
        const Row row(crf, tags, b);
        const auto own = room(reserve ? 0 : 2 * crf.T * crf.K);
        double* const at = reserve ? reserve + b * row_size(crf) : own.get();
        Kept kept = kept_at(crf, at);
        run_forward(row, weights, kept);
        result[b] = kept.log_z;
        if (tags) {
            const double observed = score(row);
            result[b] = observed == -INF ? INF : kept.log_z - observed;
        }
        if (reserve) {
            at[2 * crf.T * crf.K] = kept.log_z;
            at[2 * crf.T * crf.K + 1] = result[b];
        }
    });
}

void crf_backward(const Crf& crf, const int64_t* tags, const double* d_result, const double* reserve,
                  const CrfGradients& gradients) {
    const Weights weights(crf);
    const int64_t K = crf.K, chunks = std::min(crf.B, CHUNKS), apart = K * K + 2 * K;
    std::vector<double> counts(chunks * apart);
    parallel(threads_worth(crf), chunks, [&](int64_t c) {
        double* const own = counts.data() + c * apart;
        chunk_backward(crf, weights, tags, d_result, reserve, crf.B * c / chunks, crf.B * (c + 1) / chunks,
                       gradients.emissions, {own, own + K * K, own + K * K + K});
    });
    add_up(counts, chunks, apart, 0, K * K, crf.transitions, gradients.transitions);
    add_up(counts, chunks, apart, K * K, K, crf.start, gradients.start);
    add_up(counts, chunks, apart, K * K + K, K, crf.end, gradients.end);
}

void crf_marginals(const Crf& crf, float* marginals) {
    const Weights weights(crf);
    const int64_t TK = crf.T * crf.K;
    parallel(threads_worth(crf), crf.B, [&](int64_t b) {
        const Row row(crf, nullptr, b);
        const auto own = room(4 * TK);
        Kept kept = kept_at(crf, own.get());
        double *expected = own.get() + 2 * TK, *follow = expected + TK;
        run_forward(row, weights, kept);
        std::fill_n(marginals + b * TK, TK, 0.0f);
        if (row.length == 0 || std::isinf(kept.log_z)) return;
        if (kept.scaled)
            scaled_backward(row, weights, kept, 1, expected, follow, nullptr);
        else
            log_backward(row, kept, 1, expected, nullptr);
        for (int64_t k = 0; k < row.length * crf.K; ++k) marginals[b * TK + k] = static_cast<float>(expected[k]);
    });
}

void crf_viterbi(const Crf& crf, int64_t* tags, double* score) {
    const std::vector<double> transitions(crf.transitions, crf.transitions + crf.K * crf.K);
    parallel(threads_worth(crf), crf.B, [&](int64_t b) {
        const Row row(crf, nullptr, b);
        std::fill_n(tags + b * crf.T, crf.T, int64_t{0});
        score[b] = row.length == 0 ? 0 : viterbi(row, transitions, tags + b * crf.T);
    });
}

}  // namespace bilstm
