// Threads. Where the process holds an OpenMP runtime of GNU's kind, as torch's wheels for Linux do, its threads are
// borrowed: they are awake just after one of torch's own loops, whereas a second pool would have to fight them for
// the cores (GNU's threads spin for milliseconds when they have nothing to do). Elsewhere, and in a process that
// was forked, where those threads do not exist, a pool of our own serves.
#include "pool.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

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

struct Job {
    const std::function<void(int64_t)>& f;
    int64_t tasks;
    std::atomic<int64_t> next{0};

    void work() {
        FlushDenormals guard;
        for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) f(task);
    }
};

// --- own threads -------------------------------------------------------------------------------------------

class Pool {
    std::mutex mutex;
    std::condition_variable wake, done;
    std::vector<std::thread> threads;
    Job* job = nullptr;
    int wanted = 0, working = 0;

    void serve() {
        std::unique_lock lock(mutex);
        for (;;) {
            wake.wait(lock, [this] { return wanted > 0; });
            --wanted;
            Job* mine = job;
            lock.unlock();
            mine->work();
            lock.lock();
            if (--working == 0) done.notify_one();
        }
    }

  public:
    // One caller at a time; another one meanwhile does its work alone.
    std::mutex busy;

    void run(int helpers, Job& given) {
        {
            std::unique_lock lock(mutex);
            while (static_cast<int>(threads.size()) < helpers) {
                threads.emplace_back([this] { serve(); });
                threads.back().detach();
            }
            job = &given;
            wanted = working = helpers;
        }
        wake.notify_all();
        given.work();
        std::unique_lock lock(mutex);
        working -= wanted;  // who has not come yet need not come any more
        wanted = 0;
        done.wait(lock, [this] { return working == 0; });
    }
};

// Never destroyed: its threads may outlive main.
std::atomic<Pool*> pool{new Pool};

// --- borrowed threads --------------------------------------------------------------------------------------

using OpenMP = void (*)(void (*)(void*), void*, unsigned, unsigned);

std::atomic<bool> forked{false};

// Null where there is none, where BILSTM_OWN_THREADS=1 forbids it, or after a fork.
OpenMP openmp() {
    static const OpenMP found = [] {
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
    Job job{f, tasks};
    const int used = static_cast<int>(threads < tasks ? threads : tasks);
    if (used <= 1) return job.work();
    if (const OpenMP run = openmp())
        return run([](void* work) { static_cast<Job*>(work)->work(); }, &job, static_cast<unsigned>(used), 0);
    Pool& own = *pool;
    if (std::unique_lock lock(own.busy, std::try_to_lock); lock)
        own.run(used - 1, job);
    else
        job.work();
}

}  // namespace bilstm
