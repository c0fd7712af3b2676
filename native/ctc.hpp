// Connectionist temporal classification: plain numbers and addresses, no Python, no torch.
//
// Axes: B rows, T steps, K tokens, of which 0 is the blank, U tokens of a text. An alignment names one token for each
// step; its text is what is left when repeats are merged and then blanks dropped. What stands in padding is never
// read. Everything is computed in double; a row's numbers depend neither on its batch mates nor on the number of
// threads.
#pragma once

#include <cstdint>

namespace bilstm {

struct Ctc {
    int64_t B, T, K, U;
    const int64_t* lengths;       // (B), each in 0…T
    const int64_t* texts;         // (B, U), each in 1…K-1
    const int64_t* text_lengths;  // (B), each in 0…U
    int threads;
};

struct Alignments {
    int64_t *begin, *end;     // (B, U): of each token its first step and the one past its last
    double* confidence;       // (B, U): its highest probability in between
    double* log_probability;  // (B): of the alignment; -inf where the text cannot fit, and then nothing else is written
};

// -log P(text) of each row, (B): the sum over all its alignments; +inf where there is none. `outputs` (B, T, K) are
// scores, of which softmax makes probabilities. `gradients` is null or (B, T, K): those of each row's loss by its
// outputs, zero on padding and in a row of infinite loss.
void ctc_loss(const Ctc& ctc, const float* outputs, double* loss, float* gradients);

// The most probable alignment of each row. `log_p` (B, T, K) are logarithms of probabilities. Of equals, the one that
// came to its states first.
void ctc_align(const Ctc& ctc, const double* log_p, const Alignments& alignments);

// --- the search for the best texts ---------------------------------------------------------------------------

// Sequences of labels, level by level: node 0 is the empty one, the children of node i are first[i] … first[i+1]-1 in
// order of their labels.
struct Trie {
    const int64_t *label, *first;  // (N), (N + 1)
};

struct Language {
    int64_t order;  // 0: no language model
    Trie ngrams;    // of numbers of words
    const double *log_probability, *back_off;  // of each n-gram, natural logarithms
    int64_t start, end, unknown;               // the words <s>, </s>, <unk>; -1: the model has none
    Trie spelling;                             // of tokens
    const int64_t* word;                       // that ends at a node of it; -1: none
    const double* best;                        // highest log-probability (of 1-grams) of the words through a node
    double weight, word_bonus, unknown_score;
};

struct HotWords {
    Trie spelling;
    const double *on_the_way, *whole;  // the bonus of a word that is begun, and of one that ends at the node
};

struct Search {
    int64_t B, T, K;
    const int64_t* lengths;  // (B)
    const double* log_p;     // (B, T, K), as above
    int64_t width, n_best, space;  // space: the token between words; -1: none
    double log_prune;              // a token so much less probable than a step's best is not tried there
    Language language;
    HotWords hot;
    int threads;
};

struct Found {
    int64_t *tokens, *lengths;         // (B, n_best, T), (B, n_best); length -1 where there are fewer texts
    double *score, *log_probability;  // (B, n_best)
};

void ctc_search(const Search& search, const Found& found);

}  // namespace bilstm
