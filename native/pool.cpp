// Threads. Where the process holds an OpenMP runtime of GNU's kind, as torch's wheels for Linux bring one, its
// threads are borrowed: they are awake just after one of torch's own loops, and would otherwise fight ours for the
// cores, since they spin for milliseconds when they have nothing to do (docs/kernels.md has the figures). Elsewhere,
// and in a process that was forked, where those threads do not exist, a small pool of our own serves.
#include "pool.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bilstm {

namespace {

// Denormals take hundreds of cycles each and change nothing that matters here; the caller's setting comes back.
class FlushDenormals {
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();

  public:
    FlushDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
    uint64_t before;

  public:
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" ::"r"(before | (uint64_t{1} << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before)); }
#endif
};

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// The parts of a call follow each other within microseconds, and waking a sleeper takes tens of them.
constexpr std::chrono::microseconds AWAKE{100};

// Whether `ready()` came true while it was worth waiting awake.
template <class Ready>
bool soon(Ready ready) {
    const auto until = std::chrono::steady_clock::now() + AWAKE;
    do {
        for (int i = 0; i < 16; ++i, pause())
            if (ready()) return true;
    } while (std::chrono::steady_clock::now() < until);
    return ready();
}

struct Job {
    const std::function<void(int64_t)>& f;
    const int64_t tasks;
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;  // of the first task that failed
    std::mutex mutex;

    Job(const std::function<void(int64_t)>& f, int64_t tasks) : f(f), tasks(tasks) {}

    void work() {
        const FlushDenormals guard;
        try {
            for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) f(task);
        } catch (...) {
            next = tasks;
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
        }
    }
};

// --- own threads -------------------------------------------------------------------------------------------
// A helper that comes too late is not waited for, and none spins for long.

class Pool {
    std::mutex mutex;
    std::condition_variable wake, done;
    int threads = 0;
    Job* job = nullptr;
    std::atomic<unsigned> calls{0};                     // counts jobs: a change calls the helpers
    std::atomic<int> sleeping{0}, seats{0}, finished{0};  // helpers that sleep, may still join, have done their part

    void serve() {
        for (unsigned seen = 0;;) {
            const auto called = [&] { return calls != seen; };
            if (!soon(called)) {
                std::unique_lock lock(mutex);
                ++sleeping;
                wake.wait(lock, called);
                --sleeping;
            }
            seen = calls;
            int free = seats;
            while (free > 0 && !seats.compare_exchange_weak(free, free - 1)) {}
            if (free <= 0) continue;
            job->work();
            const std::lock_guard lock(mutex);
            ++finished;
            done.notify_one();
        }
    }

  public:
    std::mutex busy;  // one caller at a time; another one meanwhile does its work alone

    void run(int helpers, Job& given) {
        for (; threads < helpers; ++threads) std::thread([this] { serve(); }).detach();
        job = &given;
        finished = 0;
        seats = helpers;
        ++calls;
        if (sleeping > 0) {
            { const std::lock_guard lock(mutex); }  // who is about to sleep looks once more at `calls`
            wake.notify_all();
        }
        given.work();
        const int joined = helpers - seats.exchange(0);
        const auto all = [&] { return finished == joined; };
        if (soon(all)) {
            const std::lock_guard lock(mutex);  // the last one has left its own lock
            return;
        }
        std::unique_lock lock(mutex);
        done.wait(lock, all);
    }
};

// Never destroyed: its threads may outlive main.
std::atomic<Pool*> pool{nullptr};

// --- borrowed threads --------------------------------------------------------------------------------------

using OpenMP = void (*)(void (*)(void*), void*, unsigned, unsigned);

std::atomic<bool> forked{false};

// Null where there is none, where BILSTM_OWN_THREADS=1 forbids it, or after a fork.
OpenMP openmp() {
    static const OpenMP found = [] {
        pool = new Pool;
        pthread_atfork(nullptr, nullptr, [] {
            forked = true;
            pool = new Pool;  // the threads of the old one stayed in the other process
        });
        const char* own = std::getenv("BILSTM_OWN_THREADS");
        return own && *own == '1' ? nullptr : reinterpret_cast<OpenMP>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    }();
    return forked ? nullptr : found;
}

}  // namespace

void parallel(int threads, int64_t tasks, const std::function<void(int64_t)>& f) {
    Job job(f, tasks);
    const int used = static_cast<int>(threads < tasks ? threads : tasks);
    if (used <= 1) {
        job.work();
    } else if (const OpenMP run = openmp()) {
        run([](void* work) { static_cast<Job*>(work)->work(); }, &job, static_cast<unsigned>(used), 0);
    } else if (const std::unique_lock lock((*pool).busy, std::try_to_lock); lock.owns_lock()) {
        (*pool).run(used - 1, job);
    } else {
        job.work();
    }
    if (job.failure) std::rethrow_exception(job.failure);
}

}  // namespace bilstm
