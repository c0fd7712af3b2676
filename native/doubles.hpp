// What the loops of the CRF and of CTC begin with: infinity, room and a sum, in double. For baseline code only.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>

namespace bilstm {

namespace {

constexpr double INF = std::numeric_limits<double>::infinity();

// Uninitialised room: nothing is read before it is written.
inline std::unique_ptr<double[]> room(int64_t size) {
    return std::unique_ptr<double[]>(new double[static_cast<size_t>(size)]);
}

inline double sum(const double* x, int64_t size) {
    double parts[4] = {};  // one alone would wait for itself
    int64_t k = 0;
    for (; k + 4 <= size; k += 4)
        for (int part = 0; part < 4; ++part) parts[part] += x[k + part];
    for (; k < size; ++k) parts[0] += x[k];
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

}  // namespace

}  // namespace bilstm
