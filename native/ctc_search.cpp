// Prefix beam search: the texts of the highest score, each with the sum over its alignments. Knows what a text is made
// of and how it grows; what words are worth, ctc_words knows.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ctc.hpp"
#include "ctc_words.hpp"
#include "doubles.hpp"
#include "pool.hpp"

namespace bilstm {

namespace {

double log_add(double x, double y) {
    if (x < y) std::swap(x, y);
    return y == -INF ? x : x + std::log1p(std::exp(y - x));
}

// A text that was in the beam once: the token after another text.
struct Node {
    int64_t parent, token;      // -1: none
    int64_t child, sibling;     // the youngest of its children, and the next older one of its parent's; -1: none
    int64_t rank;               // in the beam; -1: not there
    bool closed_known;          // whether `closed` is there
    Prospect prospect, closed;  // `closed`: with its last word at its end
};

// A text in the beam: the logarithms of what its alignments weigh that end in a blank, in its last token, in either.
struct Entry {
    int64_t node;
    double blank, label, total;
};

struct Candidate {
    double score;
    int64_t order;  // of equals, the first one wins: those that stay, then those that grow, by rank and token
    int64_t from, token;  // rank, and the token that is added; -1: none
    double blank, label, total;
};

bool better(const Candidate& x, const Candidate& y) {
    return x.score != y.score ? x.score > y.score : x.order < y.order;
}

class Beam {
  public:
    Beam(const Search& search, int64_t b)
        : search(search), words(search), steps(search.lengths[b]), log_p(search.log_p + b * search.T * search.K),
          taken(search.width * search.K) {
        nodes.push_back({-1, -1, -1, -1, 0, false, words.nothing(), {}});
        entries.push_back({0, 0, -INF, 0});
    }

    void run() {
        for (int64_t t = 0; t < steps; ++t) step(log_p + t * search.K);
    }

    void write(int64_t* tokens, int64_t* lengths, double* score, double* log_probability);

  private:
    const Search& search;
    Words words;
    int64_t steps;
    const double* log_p;
    std::vector<Node> nodes;
    std::vector<Entry> entries;  // best first
    std::vector<Candidate> candidates;
    std::vector<int64_t> tried;  // tokens, at this step
    std::vector<char> taken;     // (width, K): this text with this token is in the beam already

    void step(const double* y);
    void choose_tokens(const double* y);
    void stay(const double* y);
    void grow(const double* y);
    void select();
    double worth(int64_t node, int64_t token);
    const Prospect& closed(int64_t node);
    int64_t node_of(int64_t parent, int64_t token);
};

void Beam::step(const double* y) {
    candidates.clear();
    choose_tokens(y);
    stay(y);
    grow(y);
    select();
}

void Beam::choose_tokens(const double* y) {
    const double least = *std::max_element(y, y + search.K) + search.log_prune;
    tried.clear();
    for (int64_t c = 1; c < search.K; ++c)
        if (y[c] >= least && y[c] > -INF) tried.push_back(c);
}

// A text stays as it is by a blank or its last token; or it is found again as the child of another.
void Beam::stay(const double* y) {
    for (size_t i = 0; i < entries.size(); ++i) {
        const Entry& entry = entries[i];
        const Node& node = nodes[entry.node];
        const double blank = entry.total + y[0];
        double label = -INF;
        if (node.parent >= 0) {
            label = entry.label + y[node.token];
            const Node& parent = nodes[node.parent];
            if (parent.rank >= 0) {
                const Entry& shorter = entries[parent.rank];
                const double from = parent.token == node.token ? shorter.blank : shorter.total;
                label = log_add(label, from + y[node.token]);
                taken[parent.rank * search.K + node.token] = 1;
            }
        }
        const double total = log_add(blank, label);
        const double score = total + node.prospect.settled + node.prospect.pending;
        if (total > -INF)
            candidates.push_back({score, static_cast<int64_t>(i), static_cast<int64_t>(i), -1, blank, label, total});
    }
}

void Beam::grow(const double* y) {
    double least = -INF;  // what a candidate must surpass: there are enough that stay and come first
    if (static_cast<int64_t>(candidates.size()) == search.width) {
        least = INF;
        for (const Candidate& candidate : candidates) least = std::min(least, candidate.score);
    }
    for (size_t i = 0; i < entries.size(); ++i) {
        const Entry& entry = entries[i];
        const int64_t last = nodes[entry.node].token;
        char* const own = taken.data() + i * search.K;
        for (const int64_t c : tried) {
            const double label = (c == last ? entry.blank : entry.total) + y[c];
            if (own[c] || label == -INF) continue;
            const double score = label + worth(entry.node, c);
            if (score > least)
                candidates.push_back({score, static_cast<int64_t>((i + 1) * search.K) + c + search.width,
                                      static_cast<int64_t>(i), c, -INF, label, label});
        }
    }
    std::fill_n(taken.begin(), entries.size() * search.K, 0);
}

void Beam::select() {
    const size_t kept = std::min(candidates.size(), static_cast<size_t>(search.width));
    if (kept < candidates.size())
        std::nth_element(candidates.begin(), candidates.begin() + kept, candidates.end(), better);
    std::sort(candidates.begin(), candidates.begin() + kept, better);
    std::vector<Entry> next;
    next.reserve(kept);
    for (size_t k = 0; k < kept; ++k) {
        const Candidate& candidate = candidates[k];
        int64_t node = entries[candidate.from].node;
        if (candidate.token >= 0) node = node_of(node, candidate.token);
        next.push_back({node, candidate.blank, candidate.label, candidate.total});
    }
    for (const Entry& entry : entries) nodes[entry.node].rank = -1;
    entries = std::move(next);
    for (size_t i = 0; i < entries.size(); ++i) nodes[entries[i].node].rank = static_cast<int64_t>(i);
}

// What the words of a text with one more token are worth.
double Beam::worth(int64_t node, int64_t token) {
    const Prospect now = token == search.space ? closed(node) : words.grown(nodes[node].prospect, token);
    return now.settled + now.pending;
}

const Prospect& Beam::closed(int64_t at) {
    Node& node = nodes[at];
    if (!node.closed_known) node.closed = words.ended(node.prospect);
    node.closed_known = true;
    return node.closed;
}

int64_t Beam::node_of(int64_t parent, int64_t token) {
    for (int64_t k = nodes[parent].child; k >= 0; k = nodes[k].sibling)
        if (nodes[k].token == token) return k;
    const Prospect now = token == search.space ? closed(parent) : words.grown(nodes[parent].prospect, token);
    const int64_t made = static_cast<int64_t>(nodes.size());
    nodes.push_back({parent, token, -1, nodes[parent].child, -1, false, now, {}});
    nodes[parent].child = made;
    return made;
}

void Beam::write(int64_t* tokens, int64_t* lengths, double* score, double* log_probability) {
    std::vector<Candidate> finished;
    for (size_t i = 0; i < entries.size(); ++i) {
        const Prospect& whole = closed(entries[i].node);
        const double total = entries[i].total;
        finished.push_back({total + whole.settled + words.finish(whole), static_cast<int64_t>(i),
                            entries[i].node, -1, 0, 0, total});
    }
    std::sort(finished.begin(), finished.end(), better);
    for (int64_t k = 0; k < search.n_best; ++k) {
        lengths[k] = -1;
        if (k >= static_cast<int64_t>(finished.size())) continue;
        int64_t* const to = tokens + k * search.T;
        int64_t size = 0;
        for (int64_t node = finished[k].from; node > 0; node = nodes[node].parent) to[size++] = nodes[node].token;
        std::reverse(to, to + size);
        lengths[k] = size;
        score[k] = finished[k].score;
        log_probability[k] = finished[k].total;
    }
}

}  // namespace

void ctc_search(const Search& search, const Found& found) {
    parallel(search.threads, search.B, [&](int64_t b) {
        Beam beam(search, b);
        beam.run();
        const int64_t at = b * search.n_best;
        beam.write(found.tokens + at * search.T, found.lengths + at, found.score + at, found.log_probability + at);
    });
}

}  // namespace bilstm
