// The module bilstm._native: takes addresses and sizes apart and hands them to the core. Computes nothing, checks
// nothing: nn/native.py does.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "crf.hpp"
#include "ctc.hpp"
#include "isa.hpp"
#include "lstm.hpp"

namespace nb = nanobind;

namespace {

using Address = uintptr_t;
using SixSizes = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;
using Strided = std::tuple<Address, int64_t, int64_t>;  // address, from row to row, from step to step

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

template <class T>
bilstm::Steps<T> steps(const Strided& array) {
    const auto& [address, row, step] = array;
    return {pointer<T>(address), row, step};
}

template <class T>
std::vector<bilstm::Weights<T>> weights(const std::vector<Address>& flat) {
    std::vector<bilstm::Weights<T>> found(flat.size() / 4);
    for (size_t k = 0; k < found.size(); ++k)
        found[k] = {pointer<T>(flat[4 * k]), pointer<T>(flat[4 * k + 1]), pointer<T>(flat[4 * k + 2]),
                    pointer<T>(flat[4 * k + 3])};
    return found;
}

bilstm::Sizes sizes(const SixSizes& of) {
    const auto& [B, T, F, H, L, D] = of;
    return {B, T, F, H, L, D};
}

bilstm::Call call(const SixSizes& of, int threads, const Strided& input, Address h0, Address c0,
                  const std::vector<Address>& flat, Address lengths, const std::vector<Strided>& masks) {
    bilstm::Call call{sizes(of), pointer<const int64_t>(lengths), steps<const float>(input), pointer<const float>(h0),
                      pointer<const float>(c0), weights<const float>(flat), {}, threads, false, false};
    for (const Strided& mask : masks) call.masks.push_back(steps<const float>(mask));
    return call;
}

int64_t reserve_size(const SixSizes& of, Address lengths, bool dropout) {
    bilstm::Call call{};
    call.sizes = sizes(of);
    call.lengths = pointer<const int64_t>(lengths);
    if (dropout) call.masks.resize(call.sizes.L - 1);
    return bilstm::reserve_size(call);
}

void forward(const SixSizes& of, int threads, const Strided& input, Address h0, Address c0,
             const std::vector<Address>& flat, Address lengths, const std::vector<Strided>& masks,
             const Strided& output, Address h_n, Address c_n, Address reserve, bool bf16) {
    bilstm::Call given = call(of, threads, input, h0, c0, flat, lengths, masks);
    given.bf16 = bf16;
    given.training = reserve != 0;
    nb::gil_scoped_release release;
    bilstm::forward(given, {steps<float>(output), pointer<float>(h_n), pointer<float>(c_n)}, pointer<float>(reserve));
}

void trace(const SixSizes& of, int threads, const Strided& input, Address h0, Address c0,
           const std::vector<Address>& flat, Address lengths, const std::vector<Strided>& masks, const Strided& output,
           Address h_n, Address c_n, const std::vector<Address>& parts, bool bf16) {
    bilstm::Call given = call(of, threads, input, h0, c0, flat, lengths, masks);
    given.bf16 = bf16;
    const auto part = [&](size_t k) { return pointer<float>(parts.at(k)); };
    nb::gil_scoped_release release;
    bilstm::trace(given, {steps<float>(output), pointer<float>(h_n), pointer<float>(c_n)},
                  {{part(0), part(1), part(2), part(3)}, part(4), part(5)});
}

void backward(const SixSizes& of, int threads, const Strided& input, Address h0, Address c0,
              const std::vector<Address>& flat, Address lengths, const std::vector<Strided>& masks,
              const Strided& output, Address h_n, Address c_n, Address reserve, const Strided& d_output, Address d_h_n,
              Address d_c_n, const Strided& d_input, Address d_h0, Address d_c0, const std::vector<Address>& d_flat) {
    const bilstm::Call given = call(of, threads, input, h0, c0, flat, lengths, masks);
    const bilstm::Gradients gradients{steps<const float>(d_output), pointer<const float>(d_h_n),
                                      pointer<const float>(d_c_n),  steps<float>(d_input),
                                      pointer<float>(d_h0),         pointer<float>(d_c0),
                                      weights<float>(d_flat)};
    nb::gil_scoped_release release;
    bilstm::backward(given, {steps<float>(output), pointer<float>(h_n), pointer<float>(c_n)}, pointer<float>(reserve),
                     gradients);
}

using CrfSizes = std::tuple<int64_t, int64_t, int64_t>;
using CrfAddresses = std::tuple<Address, Address, Address, Address, Address>;  // lengths, emissions, … as in Crf

bilstm::Crf crf(const CrfSizes& sizes, const CrfAddresses& at, int threads) {
    const auto& [B, T, K] = sizes;
    const auto& [lengths, emissions, transitions, start, end] = at;
    return {B, T, K, pointer<const int64_t>(lengths), pointer<const float>(emissions),
            pointer<const float>(transitions), pointer<const float>(start), pointer<const float>(end), threads};
}

int64_t crf_reserve_size(const CrfSizes& sizes) {
    return bilstm::crf_reserve_size(crf(sizes, {}, 1));
}

void crf_forward(const CrfSizes& sizes, const CrfAddresses& at, int threads, Address tags, Address result,
                 Address reserve) {
    nb::gil_scoped_release release;
    bilstm::crf_forward(crf(sizes, at, threads), pointer<const int64_t>(tags), pointer<double>(result),
                        pointer<double>(reserve));
}

void crf_backward(const CrfSizes& sizes, const CrfAddresses& at, int threads, Address tags, Address d_result,
                  Address reserve, Address d_emissions, Address d_transitions, Address d_start, Address d_end) {
    nb::gil_scoped_release release;
    bilstm::crf_backward(crf(sizes, at, threads), pointer<const int64_t>(tags), pointer<const double>(d_result),
                         pointer<const double>(reserve),
                         {pointer<float>(d_emissions), pointer<float>(d_transitions), pointer<float>(d_start),
                          pointer<float>(d_end)});
}

void crf_marginals(const CrfSizes& sizes, const CrfAddresses& at, int threads, Address marginals) {
    nb::gil_scoped_release release;
    bilstm::crf_marginals(crf(sizes, at, threads), pointer<float>(marginals));
}

void crf_viterbi(const CrfSizes& sizes, const CrfAddresses& at, int threads, Address tags, Address score) {
    nb::gil_scoped_release release;
    bilstm::crf_viterbi(crf(sizes, at, threads), pointer<int64_t>(tags), pointer<double>(score));
}

using CtcSizes = std::tuple<int64_t, int64_t, int64_t, int64_t>;
using CtcAddresses = std::tuple<Address, Address, Address>;  // lengths, texts, their lengths

bilstm::Ctc ctc(const CtcSizes& sizes, const CtcAddresses& at, int threads) {
    const auto& [B, T, K, U] = sizes;
    const auto& [lengths, texts, text_lengths] = at;
    return {B, T, K, U, pointer<const int64_t>(lengths), pointer<const int64_t>(texts),
            pointer<const int64_t>(text_lengths), threads};
}

void ctc_loss(const CtcSizes& sizes, const CtcAddresses& at, int threads, Address outputs, Address loss,
              Address gradients) {
    nb::gil_scoped_release release;
    bilstm::ctc_loss(ctc(sizes, at, threads), pointer<const float>(outputs), pointer<double>(loss),
                     pointer<float>(gradients));
}

void ctc_align(const CtcSizes& sizes, const CtcAddresses& at, int threads, Address log_p, Address begin, Address end,
               Address confidence, Address log_probability) {
    nb::gil_scoped_release release;
    bilstm::ctc_align(ctc(sizes, at, threads), pointer<const double>(log_p),
                      {pointer<int64_t>(begin), pointer<int64_t>(end), pointer<double>(confidence),
                       pointer<double>(log_probability)});
}

using TrieAddresses = std::tuple<Address, Address>;  // label, first
using LanguageNumbers = std::tuple<int64_t, int64_t, int64_t, int64_t, double, double, double>;  // order, start, end, …
using LanguageAddresses = std::tuple<TrieAddresses, Address, Address, TrieAddresses, Address, Address>;
using HotAddresses = std::tuple<TrieAddresses, Address, Address>;
using SearchNumbers = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double>;  // B, T, K, width, …

bilstm::Trie trie(const TrieAddresses& at) {
    return {pointer<const int64_t>(std::get<0>(at)), pointer<const int64_t>(std::get<1>(at))};
}

bilstm::Language language(const LanguageNumbers& numbers, const LanguageAddresses& at) {
    const auto& [order, start, end, unknown, weight, word_bonus, unknown_score] = numbers;
    const auto& [ngrams, log_probability, back_off, spelling, word, best] = at;
    return {order, trie(ngrams), pointer<const double>(log_probability), pointer<const double>(back_off),
            start, end, unknown, trie(spelling), pointer<const int64_t>(word), pointer<const double>(best),
            weight, word_bonus, unknown_score};
}

void ctc_search(const SearchNumbers& numbers, int threads, Address lengths, Address log_p,
                const LanguageNumbers& language_numbers, const LanguageAddresses& language_at, const HotAddresses& hot,
                Address tokens, Address found_lengths, Address score, Address log_probability) {
    const auto& [B, T, K, width, n_best, space, log_prune] = numbers;
    const auto& [spelling, on_the_way, whole] = hot;
    const bilstm::Search search{B, T, K, pointer<const int64_t>(lengths), pointer<const double>(log_p), width, n_best,
                                space, log_prune, language(language_numbers, language_at),
                                {trie(spelling), pointer<const double>(on_the_way), pointer<const double>(whole)},
                                threads};
    nb::gil_scoped_release release;
    bilstm::ctc_search(search, {pointer<int64_t>(tokens), pointer<int64_t>(found_lengths), pointer<double>(score),
                                pointer<double>(log_probability)});
}

double fma_rate(double seconds, int threads) {
    nb::gil_scoped_release release;
    return bilstm::fma_rate(seconds, threads);
}

}  // namespace

NB_MODULE(_native, m) {
    m.def("isas", &bilstm::isas, "Instruction sets that this processor can run, best first.");
    m.def("isa", &bilstm::isa, "The one that the next call takes: BILSTM_ISA's, or the best.");
    m.def("last_isa", &bilstm::last_isa, "The one that ran last; empty before the first run.");
    m.def("fma_rate", &fma_rate, nb::arg("seconds"), nb::arg("threads"),
          "GFLOP/s of fused multiply-adds that never leave the registers.");
    m.def("reserve_size", &reserve_size, nb::arg("sizes"), nb::arg("lengths"), nb::arg("dropout"),
          "Floats that a training forward keeps for its backward.");
    const auto at = [](const char* name) { return nb::arg(name); };
    m.def("forward", &forward, at("sizes"), at("threads"), at("input"), at("h0"), at("c0"), at("weights"),
          at("lengths"), at("masks"), at("output"), at("h_n"), at("c_n"), at("reserve"), at("bf16") = false,
          "See Call and Result in native/lstm.hpp; addresses are integers, 0 is none.");
    m.def("trace", &trace, "See Trace in native/lstm.hpp, whose parts come as a list of six.");
    m.def("backward", &backward, "See Gradients in native/lstm.hpp; overwrites the reserve.");
    m.def("crf_reserve_size", &crf_reserve_size, "Doubles that a training crf_forward keeps for its backward.");
    m.def("crf_forward", &crf_forward, "See native/crf.hpp for this and the next three.");
    m.def("crf_backward", &crf_backward);
    m.def("crf_marginals", &crf_marginals);
    m.def("crf_viterbi", &crf_viterbi);
    m.def("ctc_loss", &ctc_loss, "See native/ctc.hpp for this and the next two.");
    m.def("ctc_align", &ctc_align);
    m.def("ctc_search", &ctc_search);
}
