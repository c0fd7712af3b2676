// Scores by a back-off model, and in advance by the best 1-gram below a prefix.
#include "ctc_words.hpp"

#include <algorithm>

namespace bilstm {

namespace {

// The child by its label; -1: there is none, or no node.
int64_t child(const Trie& trie, int64_t node, int64_t label) {
    if (node < 0) return -1;
    const int64_t *begin = trie.label + trie.first[node], *end = trie.label + trie.first[node + 1];
    const int64_t* at = std::lower_bound(begin, end, label);
    return at != end && *at == label ? at - trie.label : -1;
}

}  // namespace

Words::Words(const Search& search) : language(search.language), hot(search.hot) {
    if (language.order == 0) return;
    forgotten();
    if (language.start >= 0) {
        histories.clear();
        histories.push_back(0);
        for (int64_t k = 1; k < language.order; ++k)
            histories.push_back(k == 1 ? child(language.ngrams, 0, language.start) : -1);
    }
}

Prospect Words::grown(const Prospect& before, int64_t token) const {
    Prospect now = before;
    now.inside = true;
    now.pending = 0;
    if (language.order > 0) {
        now.spelling = child(language.spelling, before.spelling, token);
        const double unknown = language.unknown < 0 ? 0 : language.log_probability[language.ngrams.first[0] + language.unknown];
        const double expected = now.spelling < 0 ? unknown + language.unknown_score : language.best[now.spelling];
        now.pending = language.weight * expected + language.word_bonus;
    }
    if (hot.on_the_way) {
        now.hot = child(hot.spelling, before.hot, token);
        if (now.hot >= 0) now.pending += hot.on_the_way[now.hot];
    }
    return now;
}

Prospect Words::ended(const Prospect& before) {
    Prospect now = before;
    if (!before.inside) return now;
    if (language.order > 0) {
        const int64_t known = before.spelling < 0 ? -1 : language.word[before.spelling];
        const int64_t word = known < 0 ? language.unknown : known;
        const double by_ngrams = word < 0 ? 0 : score(before.history, word);
        now.settled += language.weight * (known < 0 ? by_ngrams + language.unknown_score : by_ngrams) + language.word_bonus;
        now.history = word < 0 ? forgotten() : followed(before.history, word);
    }
    if (hot.on_the_way && before.hot >= 0) now.settled += hot.whole[before.hot];
    now.pending = 0;
    now.spelling = now.hot = 0;
    now.inside = false;
    return now;
}

double Words::finish(const Prospect& ended) const {
    return language.order > 0 && language.end >= 0 ? language.weight * score(ended.history, language.end) : 0;
}

// From the longest history that the model knows; where it does not know what follows, it backs off to a shorter one.
double Words::score(int64_t history, int64_t word) const {
    const int64_t* of = histories.data() + history;
    double total = 0;
    for (int64_t k = language.order - 1; k >= 0; --k) {
        const int64_t found = child(language.ngrams, of[k], word);
        if (found >= 0) return total + language.log_probability[found];
        if (of[k] >= 0) total += language.back_off[of[k]];
    }
    return total;  // every word is a 1-gram
}

int64_t Words::followed(int64_t history, int64_t word) {
    const int64_t now = static_cast<int64_t>(histories.size());
    histories.push_back(0);
    for (int64_t k = 0; k + 1 < language.order; ++k)
        histories.push_back(child(language.ngrams, histories[history + k], word));
    return now;
}

int64_t Words::forgotten() {
    const int64_t now = static_cast<int64_t>(histories.size());
    histories.push_back(0);
    histories.resize(now + language.order, -1);
    return now;
}

}  // namespace bilstm
