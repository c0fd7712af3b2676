// What the processor could do at most: the measure of every benchmark.
#include <chrono>
#include <mutex>

#include "lstm.hpp"
#include "pool.hpp"
#include "select.hpp"

namespace bilstm {

double fma_rate(double seconds, int threads) {
    const Kernels& kernels = best();
    double total = 0;
    std::mutex mutex;
    parallel(threads, threads, [&](int64_t) {
        using Clock = std::chrono::steady_clock;
        float sink[8] = {0.5f, 0.25f};
        double fused = 0, passed = 0;
        for (const auto began = Clock::now(); passed < seconds;) {
            fused += kernels.spin(100000, sink);
            passed = std::chrono::duration<double>(Clock::now() - began).count();
        }
        const std::lock_guard lock(mutex);
        total += 2e-9 * fused / passed;
    });
    return total;
}

}  // namespace bilstm
