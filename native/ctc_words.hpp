// What words are worth to a search for texts: a language model of n-grams, and words that are hoped for. Knows tokens
// and words as numbers; knows no steps and no recordings.
#pragma once

#include <cstdint>
#include <vector>

#include "ctc.hpp"

namespace bilstm {

// What a text that grows is worth, and what is needed to know that of its children.
struct Prospect {
    double settled;    // of its whole words
    double pending;    // of the word that has begun, in advance
    int64_t history;   // the whole words, as Words keeps them
    int64_t spelling;  // of the word that has begun: node of the language's words, -1: unknown
    int64_t hot;       // the same among the hot words
    bool inside;       // a word has begun
};

class Words {
  public:
    explicit Words(const Search& search);

    Prospect nothing() const { return {0, 0, 0, 0, 0, false}; }

    // With one more token, which is not the space.
    Prospect grown(const Prospect& before, int64_t token) const;

    // With the word that has begun at its end, if one has.
    Prospect ended(const Prospect& before);

    // What the end of the whole text adds to one whose last word is at its end.
    double finish(const Prospect& ended) const;

  private:
    const Language& language;
    const HotWords& hot;
    // Of each history, for k = 0 … order - 1, the n-gram that its last k words are, -1: not in the model.
    std::vector<int64_t> histories;

    double score(int64_t history, int64_t word) const;
    int64_t followed(int64_t history, int64_t word);
    int64_t forgotten();
};

}  // namespace bilstm
