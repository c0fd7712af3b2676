// Asks the processor what it can, and the environment what it shall. Built for the baseline.
#include "isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(BILSTM_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels.hpp"
#include "select.hpp"

namespace bilstm {

namespace {

std::atomic<const Kernels*> last{nullptr};

#if defined(BILSTM_AMX)
// Whether the processor has AMX and the kernel lets this process use its registers, which has to be asked for.
bool has_amx() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    const bool tiles = d & (1u << 24), bf16 = d & (1u << 22);
    constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM of arch_prctl(2)
    return tiles && bf16 && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#endif

std::vector<const Kernels*> supported() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    {
#if defined(BILSTM_AMX)
        if (has_amx()) found.push_back(&amx_kernels);
#endif
        found.push_back(&avx512_kernels);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2_kernels);
#elif defined(__aarch64__)
    found.push_back(&neon_kernels);  // part of every 64-bit ARM
#endif
    found.push_back(&plain_kernels);
    return found;
}

const std::vector<const Kernels*>& all() {
    static const std::vector<const Kernels*> found = supported();
    return found;
}

const Kernels& by_name(const std::string& name) {
    std::string choices;
    for (const Kernels* kernels : all()) {
        if (kernels->name == name) return *kernels;
        choices += (choices.empty() ? "" : ", ") + std::string(kernels->name);
    }
    throw std::invalid_argument("expected BILSTM_ISA to be one of " + choices + ", which this processor can run, got " +
                                name);
}

const char* forced() {
    const char* name = std::getenv("BILSTM_ISA");
    return name && *name ? name : nullptr;
}

#if defined(BILSTM_AMX)
// In training AMX is the faster one once layers are wide and steps have whole tiles of rows (measured: 5 to 35 %).
// In inference a row's bits must not depend on how many rows there are, and one row alone is faster with AVX-512.
bool amx_is_faster(const Use& use) { return use.training && use.hidden >= 96 && use.rows >= 16; }

bool is_amx(const Kernels& kernels) { return &kernels == &amx_kernels; }
const Kernels& instead_of_amx() { return *all().at(1); }
const Kernels& amx_for_bf16() { return amx_bf16_kernels; }
#else
bool amx_is_faster(const Use&) { return false; }
bool is_amx(const Kernels&) { return false; }
const Kernels& instead_of_amx() { return plain_kernels; }
const Kernels& amx_for_bf16() { return plain_kernels; }
#endif

}  // namespace

const Kernels& best() {
    const char* name = forced();
    return name ? by_name(name) : *all().front();
}

const Kernels& select(const Use& use) {
    const Kernels& kernels = best();
    if (!is_amx(kernels)) return kernels;
    if (use.bf16) return amx_for_bf16();
    return forced() || amx_is_faster(use) ? kernels : instead_of_amx();
}

void ran(const Kernels& kernels) { last = &kernels; }

int number_of(const Kernels& kernels) {
    for (size_t i = 0; i < all().size(); ++i)
        if (all()[i] == &kernels) return static_cast<int>(i);
    return -1;
}

const Kernels& by_number(int number) { return *all().at(number); }

std::vector<std::string> isas() {
    std::vector<std::string> names;
    for (const Kernels* kernels : all()) names.emplace_back(kernels->name);
    return names;
}

std::string isa() { return best().name; }

std::string last_isa() { return last ? last.load()->name : ""; }

}  // namespace bilstm
