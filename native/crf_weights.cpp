// The parameters of a CRF as weights, and where they are safe to compute with; knows no rows and no tags of anybody.
//
// When scaled probabilities are safe. Let n be such that between any two tags there is a walk of exactly n steps
// (tags that are on no path from a first to a last tag are left out: their rows and columns are zero), and let no step
// change the weight of a path by more than a factor e^S beside the step that is best: S is the spread of the finite
// transitions plus the largest spread of a step's emissions. Scaled so that it sums to 1, the forward vector at step
// t >= n holds no possible tag below e^-nS / K^(n+1), since the best tag at t - n reaches it in n steps; at t < n none
// below e^-(t+1)S, its distance from the start. The backward vector is the same, read from the end. Their product,
// summed over the tags, is then at least e^-nS for one of the two vectors where its neighbour is largest, or, in rows
// shorter than 2n, the weight of one whole path, e^-2nS. A product that enters these sums carries one factor e^-S
// more than the vectors, e^-(n+1)S. Nothing that counts is below e^-2nS, then, but for powers of K and the 37 = log
// 2^53 by which a term may be smaller than its sum before it is lost anyway. Doubles hold e^-708: with 2nS <= 600
// there is room for K^5 up to K = 10^6. BIO tags have n = 2, BIOES tags n = 3: S may be 150 and 100. Where n > 3, or S
// is larger, or an emission is not finite, the row is computed with logarithms, which hold everything.
#include "crf_weights.hpp"

#include <algorithm>
#include <cmath>

#include "doubles.hpp"

namespace bilstm {

namespace {

constexpr double ROOM = 600;     // see above
constexpr int LONGEST_WALK = 3;  // BIOES; a longer one would leave little room for S

// --- which tags may follow which -----------------------------------------------------------------------------

// A set of tags for each tag, 64 in a word.
class Sets {
    int64_t words;
    std::vector<uint64_t> bits;

  public:
    Sets(int64_t count, int64_t K) : words((K + 63) / 64), bits(count * words) {}
    void put(int64_t i, int64_t j) { bits[i * words + j / 64] |= uint64_t{1} << (j % 64); }
    bool has(int64_t i, int64_t j) const { return bits[i * words + j / 64] >> (j % 64) & 1; }
    void join(int64_t i, const Sets& other, int64_t k) {
        for (int64_t w = 0; w < words; ++w) bits[i * words + w] |= other.bits[k * words + w];
    }
    bool operator==(const Sets& other) const { return bits == other.bits; }
};

// From those that are marked along `next` as far as it goes: marks all that are met.
void spread(std::vector<char>& marked, const Sets& next) {
    const int64_t K = static_cast<int64_t>(marked.size());
    std::vector<int64_t> todo;
    for (int64_t i = 0; i < K; ++i)
        if (marked[i]) todo.push_back(i);
    while (!todo.empty()) {
        const int64_t i = todo.back();
        todo.pop_back();
        for (int64_t j = 0; j < K; ++j)
            if (!marked[j] && next.has(i, j)) {
                marked[j] = 1;
                todo.push_back(j);
            }
    }
}

// Tags on some path, of any length, from a first to a last one.
std::vector<char> living(const Crf& crf) {
    const int64_t K = crf.K;
    Sets next(K, K), before(K, K);
    for (int64_t i = 0; i < K; ++i)
        for (int64_t j = 0; j < K; ++j)
            if (crf.transitions[i * K + j] != -INF) {
                next.put(i, j);
                before.put(j, i);
            }
    std::vector<char> reached(K), reaching(K);
    for (int64_t j = 0; j < K; ++j) {
        reached[j] = crf.start[j] != -INF;
        reaching[j] = crf.end[j] != -INF;
    }
    spread(reached, next);
    spread(reaching, before);
    for (int64_t j = 0; j < K; ++j) reached[j] = reached[j] && reaching[j];
    return reached;
}

// The n of the argument at the top, or 0 where it is above LONGEST_WALK or no tag lives.
int walk_length(const Crf& crf, const std::vector<char>& lives) {
    const int64_t K = crf.K;
    Sets next(K, K), all(K, K);
    bool any = false;
    for (int64_t i = 0; i < K; ++i)
        for (int64_t j = 0; j < K; ++j) {
            if (!lives[i] || !lives[j]) continue;
            any = true;
            all.put(i, j);
            if (crf.transitions[i * K + j] != -INF) next.put(i, j);
        }
    Sets walks = next;
    for (int n = 1; any && n <= LONGEST_WALK; ++n) {
        if (walks == all) return n;
        Sets longer(K, K);
        for (int64_t i = 0; i < K; ++i)
            for (int64_t j = 0; j < K; ++j)
                if (next.has(i, j)) longer.join(i, walks, j);
        walks = longer;
    }
    return 0;
}

// --- the parameters, ready for scaled probabilities ----------------------------------------------------------

struct Range {
    double lowest = INF, highest = -INF;
    bool sound = true;  // no NaN, no +inf

    void take(double x) {
        if (std::isnan(x) || x == INF) sound = false;
        if (x == -INF) return;
        lowest = std::min(lowest, x);
        highest = std::max(highest, x);
    }
    double spread() const { return sound ? highest - lowest : INF; }
};

}  // namespace

Weights::Weights(const Crf& crf) {
    const int64_t K = crf.K;
    const bool complete = std::count(crf.transitions, crf.transitions + K * K, -INF) == 0;
    const std::vector<char> lives = complete ? std::vector<char>(K, 1) : living(crf);
    const int n = complete ? 1 : walk_length(crf, lives);
    if (n == 0) return;
    Range among, first, last;
    for (int64_t i = 0; i < K; ++i) {
        if (!lives[i]) continue;
        first.take(crf.start[i]);
        last.take(crf.end[i]);
        for (int64_t j = 0; j < K; ++j)
            if (lives[j]) among.take(crf.transitions[i * K + j]);
    }
    if (first.highest == -INF || last.highest == -INF) return;  // no path at all
    allowed = ROOM / (2 * n) - std::max({among.spread(), first.spread(), last.spread()});
    if (!(allowed >= 0)) return;
    highest = among.highest, highest_start = first.highest, highest_end = last.highest;
    forth.assign(K * K, 0), back.assign(K * K, 0), start.assign(K, 0), end.assign(K, 0);
    for (int64_t i = 0; i < K; ++i) {
        if (!lives[i]) continue;
        start[i] = std::exp(crf.start[i] - highest_start);
        end[i] = std::exp(crf.end[i] - highest_end);
        for (int64_t j = 0; j < K; ++j)
            if (lives[j]) back[j * K + i] = forth[i * K + j] = std::exp(crf.transitions[i * K + j] - highest);
    }
}

bool Weights::serve(const float* emissions, int64_t length, int64_t K) const {
    bool safe = allowed >= 0;
    for (int64_t t = 0; safe && t < length; ++t) {
        const float* e = emissions + t * K;
        float lowest = e[0], highest = e[0];
        bool numbers = true;
        for (int64_t j = 0; j < K; ++j) {
            lowest = std::min(lowest, e[j]);
            highest = std::max(highest, e[j]);
            numbers &= e[j] == e[j];
        }
        safe = numbers && static_cast<double>(highest) - lowest <= allowed;  // false for infinities
    }
    return safe;
}

}  // namespace bilstm
