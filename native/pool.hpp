// Several threads for a moment: f(0) … f(tasks - 1), each once, in any order. Knows nothing of LSTMs.
#pragma once

#include <cstdint>
#include <functional>

namespace bilstm {

// Returns when all are done, or throws what one of them has thrown. Denormal numbers count as zero inside.
void parallel(int threads, int64_t tasks, const std::function<void(int64_t)>& f);

}  // namespace bilstm
