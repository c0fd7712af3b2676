// The parameters of a CRF as weights, and whether a row may be computed with them instead of with logarithms.
#pragma once

#include <cstdint>
#include <vector>

#include "crf.hpp"

namespace bilstm {

struct Weights {
    std::vector<double> forth, back, start, end;  // exp of (K, K), its transpose, (K), (K), each less its highest
    double highest = 0, highest_start = 0, highest_end = 0;
    double allowed = -1;  // spread of a step's emissions up to which scaled probabilities are safe

    explicit Weights(const Crf& crf);

    // Whether scaled probabilities are safe for these emissions (length, K).
    bool serve(const float* emissions, int64_t length, int64_t K) const;
};

}  // namespace bilstm
