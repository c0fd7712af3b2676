// The module bilstm._native: takes tensors by name, checks that they are what the core's headers say, and hands their
// addresses on. Computes nothing, and does not look at the numbers: nn/*/native.py knows whether they are in range.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "arrays.hpp"
#include "crf.hpp"
#include "ctc.hpp"
#include "isa.hpp"
#include "lstm.hpp"

namespace bilstm {
namespace border {
namespace {

using Lengths = Array<const int64_t, 1>;
template <class T>
using StepsArray = Array<T, 3, Order::steps>;
template <class T>
using MaybeSteps = Maybe<T, 3, Order::steps>;
using MaybeStates = Maybe<const float, 3>;
using StatesOut = Array<float, 3>;

// --- stacks of layers -----------------------------------------------------------------------------------------

template <class T>
Steps<T> steps(const char* name, const StepsArray<T>& array, const std::array<int64_t, 3>& shape) {
    return {numbers(name, array, shape), array.strides[0], array.strides[1]};
}

template <class T>
Steps<T> steps(const char* name, const MaybeSteps<T>& array, const std::array<int64_t, 3>& shape) {
    return array ? steps(name, *array, shape) : Steps<T>{};
}

// One matrix or vector of a list of weights; null where there is None.
template <class T, size_t AXES>
T* weight(nb::handle tensor, const std::array<int64_t, AXES>& shape) {
    if (tensor.is_none()) return nullptr;
    Array<T, AXES> array;
    if (!View(tensor).as(array)) throw nb::type_error("A weight must be a tensor of float32 in one piece on the CPU.");
    return numbers("A weight", array, shape);
}

// input (4H, F) and hidden (4H, H) of each layer and direction, with biases (4H) and (4H) after them or without.
template <class T>
std::vector<Weights<T>> weights(const nb::list& flat, bool biases, const Sizes& sizes) {
    const size_t each = biases ? 4 : 2;
    const int64_t H = sizes.H, D = sizes.D;
    if (flat.size() != each * sizes.L * D) throw std::invalid_argument("The list of weights has another length.");
    std::vector<Weights<T>> result;
    result.reserve(flat.size() / each);
    for (size_t k = 0; k < flat.size(); k += each) {
        const int64_t width = k < each * D ? sizes.F : D * H;
        result.push_back({weight<T, 2>(flat[k], {4 * H, width}), weight<T, 2>(flat[k + 1], {4 * H, H}),
                          biases ? weight<T, 1>(flat[k + 2], {4 * H}) : nullptr,
                          biases ? weight<T, 1>(flat[k + 3], {4 * H}) : nullptr});
    }
    return result;
}

// H is told by the second weight, (4H, H); every other one is compared with the sizes later.
Sizes sizes(const StepsArray<const float>& input, const nb::list& flat, bool biases, int directions) {
    Array<const float, 2> hidden;
    if (directions < 1 || flat.size() < 2 || !View(flat[1]).as(hidden))
        throw nb::type_error("The weights must be a list of tensors of float32, of at least one direction.");
    const int64_t layers = flat.size() / ((biases ? 4 : 2) * directions);
    return {input.shape[0], input.shape[1], input.shape[2], hidden.shape[1], layers, directions};
}

Call call(const Sizes& sizes, int threads, const StepsArray<const float>& input, const MaybeStates& h0,
          const MaybeStates& c0, const nb::list& flat, bool biases, const std::optional<Lengths>& lengths,
          const std::vector<StepsArray<const float>>& masks) {
    const auto& [B, T, F, H, L, D] = sizes;
    Call call{sizes, numbers("lengths", lengths, {B}), steps("input", input, {B, T, F}),
              numbers("h0", h0, {L * D, B, H}), numbers("c0", c0, {L * D, B, H}),
              weights<const float>(flat, biases, sizes), {}, threads, false, false};
    for (const auto& mask : masks) call.masks.push_back(steps("A mask", mask, {B, T, D * H}));
    return call;
}

Result result(const Sizes& sizes, const StepsArray<float>& output, const StatesOut& h_n, const StatesOut& c_n) {
    const auto& [B, T, F, H, L, D] = sizes;
    return {steps("output", output, {B, T, D * H}), numbers("h_n", h_n, {L * D, B, H}),
            numbers("c_n", c_n, {L * D, B, H})};
}

int64_t reserve_size(int64_t B, int64_t T, int64_t F, int64_t H, int64_t L, int64_t D,
                     const std::optional<Lengths>& lengths, bool dropout) {
    Call call{};
    call.sizes = {B, T, F, H, L, D};
    call.lengths = numbers("lengths", lengths, {B});
    if (dropout) call.masks.resize(L - 1);
    return bilstm::reserve_size(call);
}

float* room(const Array<float, 1>& reserve, const Call& call) {
    if (reserve.shape[0] < bilstm::reserve_size(call)) throw std::invalid_argument("The reserve is too small.");
    return reserve.data;
}

void forward(const StepsArray<const float>& input, const MaybeStates& h0, const MaybeStates& c0, const nb::list& flat,
             bool biases, const std::optional<Lengths>& lengths, const std::vector<StepsArray<const float>>& masks,
             int directions, int threads, const StepsArray<float>& output, const StatesOut& h_n, const StatesOut& c_n,
             const Maybe<float, 1>& reserve, bool bf16) {
    const Sizes of = sizes(input, flat, biases, directions);
    Call what = call(of, threads, input, h0, c0, flat, biases, lengths, masks);
    what.bf16 = bf16;
    what.training = reserve.has_value();
    const Result into = result(of, output, h_n, c_n);
    float* const kept = reserve ? room(*reserve, what) : nullptr;
    nb::gil_scoped_release release;
    bilstm::forward(what, into, kept);
}

void trace(const StepsArray<const float>& input, const MaybeStates& h0, const MaybeStates& c0, const nb::list& flat,
           bool biases, const std::optional<Lengths>& lengths, const std::vector<StepsArray<const float>>& masks,
           int directions, int threads, const StepsArray<float>& output, const StatesOut& h_n, const StatesOut& c_n,
           const Array<float, 5>& input_gate, const Array<float, 5>& forget_gate, const Array<float, 5>& candidate,
           const Array<float, 5>& output_gate, const Array<float, 5>& cell, const Array<float, 5>& hidden, bool bf16) {
    const Sizes of = sizes(input, flat, biases, directions);
    const auto& [B, T, F, H, L, D] = of;
    Call what = call(of, threads, input, h0, c0, flat, biases, lengths, masks);
    what.bf16 = bf16;
    const Result into = result(of, output, h_n, c_n);
    const std::array<int64_t, 5> shape{L, D, B, T, H};
    const Trace parts{{numbers("input_gate", input_gate, shape), numbers("forget_gate", forget_gate, shape),
                       numbers("candidate", candidate, shape), numbers("output_gate", output_gate, shape)},
                      numbers("cell", cell, shape), numbers("hidden", hidden, shape)};
    nb::gil_scoped_release release;
    bilstm::trace(what, into, parts);
}

void backward(const StepsArray<const float>& input, const MaybeStates& h0, const MaybeStates& c0, const nb::list& flat,
              bool biases, const std::optional<Lengths>& lengths, const std::vector<StepsArray<const float>>& masks,
              int directions, int threads, const Array<float, 1>& reserve, const MaybeSteps<const float>& d_output,
              const MaybeStates& d_h_n, const MaybeStates& d_c_n, const MaybeSteps<float>& d_input,
              const Maybe<float, 3>& d_h0, const Maybe<float, 3>& d_c0, const nb::list& d_flat) {
    const Sizes of = sizes(input, flat, biases, directions);
    const auto& [B, T, F, H, L, D] = of;
    const std::array<int64_t, 3> states{L * D, B, H};
    const Call what = call(of, threads, input, h0, c0, flat, biases, lengths, masks);
    const Gradients gradients{steps("d_output", d_output, {B, T, D * H}), numbers("d_h_n", d_h_n, states),
                              numbers("d_c_n", d_c_n, states),            steps("d_input", d_input, {B, T, F}),
                              numbers("d_h0", d_h0, states),              numbers("d_c0", d_c0, states),
                              weights<float>(d_flat, biases, of)};
    float* const kept = room(reserve, what);
    nb::gil_scoped_release release;
    bilstm::backward(what, kept, gradients);
}

// --- CRF ------------------------------------------------------------------------------------------------------

using Emissions = Array<const float, 3>;
using Vector = Array<const float, 1>;
using Tags = Array<const int64_t, 2>;

Crf crf(const Emissions& emissions, const Lengths& lengths, const Array<const float, 2>& transitions,
        const Vector& start, const Vector& end, int threads) {
    const auto [B, T, K] = emissions.shape;
    return {B, T, K, numbers("lengths", lengths, {B}), emissions.data, numbers("transitions", transitions, {K, K}),
            numbers("start", start, {K}), numbers("end", end, {K}), threads};
}

int64_t crf_reserve_size(int64_t B, int64_t T, int64_t K) {
    Crf crf{};
    crf.B = B;
    crf.T = T;
    crf.K = K;
    return bilstm::crf_reserve_size(crf);
}

template <class A>
auto crf_room(const A& reserve, const Crf& crf) {
    if (reserve.shape[0] < bilstm::crf_reserve_size(crf)) throw std::invalid_argument("The reserve is too small.");
    return reserve.data;
}

void crf_forward(const Emissions& emissions, const Lengths& lengths, const Array<const float, 2>& transitions,
                 const Vector& start, const Vector& end, int threads, const std::optional<Tags>& tags,
                 const Array<double, 1>& result, const Maybe<double, 1>& reserve) {
    const Crf what = crf(emissions, lengths, transitions, start, end, threads);
    const int64_t* const path = numbers("tags", tags, {what.B, what.T});
    double* const into = numbers("result", result, {what.B});
    double* const kept = reserve ? crf_room(*reserve, what) : nullptr;
    nb::gil_scoped_release release;
    bilstm::crf_forward(what, path, into, kept);
}

void crf_backward(const Emissions& emissions, const Lengths& lengths, const Array<const float, 2>& transitions,
                  const Vector& start, const Vector& end, int threads, const std::optional<Tags>& tags,
                  const Array<const double, 1>& d_result, const Array<const double, 1>& reserve,
                  const Array<float, 3>& d_emissions, const Array<float, 2>& d_transitions,
                  const Array<float, 1>& d_start, const Array<float, 1>& d_end) {
    const Crf what = crf(emissions, lengths, transitions, start, end, threads);
    const auto [B, T, K] = emissions.shape;
    const int64_t* const path = numbers("tags", tags, {B, T});
    const double *const d = numbers("d_result", d_result, {B}), *const kept = crf_room(reserve, what);
    const CrfGradients gradients{numbers("d_emissions", d_emissions, {B, T, K}),
                                 numbers("d_transitions", d_transitions, {K, K}), numbers("d_start", d_start, {K}),
                                 numbers("d_end", d_end, {K})};
    nb::gil_scoped_release release;
    bilstm::crf_backward(what, path, d, kept, gradients);
}

void crf_marginals(const Emissions& emissions, const Lengths& lengths, const Array<const float, 2>& transitions,
                   const Vector& start, const Vector& end, int threads, const Array<float, 3>& marginals) {
    const Crf what = crf(emissions, lengths, transitions, start, end, threads);
    float* const into = numbers("marginals", marginals, emissions.shape);
    nb::gil_scoped_release release;
    bilstm::crf_marginals(what, into);
}

void crf_viterbi(const Emissions& emissions, const Lengths& lengths, const Array<const float, 2>& transitions,
                 const Vector& start, const Vector& end, int threads, const Array<int64_t, 2>& tags,
                 const Array<double, 1>& score) {
    const Crf what = crf(emissions, lengths, transitions, start, end, threads);
    int64_t* const path = numbers("tags", tags, {what.B, what.T});
    double* const into = numbers("score", score, {what.B});
    nb::gil_scoped_release release;
    bilstm::crf_viterbi(what, path, into);
}

// --- CTC ------------------------------------------------------------------------------------------------------

template <class T>
Ctc ctc(const Array<T, 3>& outputs, const Lengths& lengths, const Array<const int64_t, 2>& texts,
        const Lengths& text_lengths, int threads) {
    const auto [B, steps, K] = outputs.shape;
    const int64_t U = texts.shape[1];
    return {B, steps, K, U, numbers("lengths", lengths, {B}), numbers("texts", texts, {B, U}),
            numbers("text_lengths", text_lengths, {B}), threads};
}

void ctc_loss(const Array<const float, 3>& outputs, const Lengths& lengths, const Array<const int64_t, 2>& texts,
              const Lengths& text_lengths, int threads, const Array<double, 1>& loss,
              const Maybe<float, 3>& gradients) {
    const Ctc what = ctc(outputs, lengths, texts, text_lengths, threads);
    double* const into = numbers("loss", loss, {what.B});
    float* const d_outputs = numbers("gradients", gradients, outputs.shape);
    nb::gil_scoped_release release;
    bilstm::ctc_loss(what, outputs.data, into, d_outputs);
}

void ctc_align(const Array<const double, 3>& log_p, const Lengths& lengths, const Array<const int64_t, 2>& texts,
               const Lengths& text_lengths, int threads, const Array<int64_t, 2>& begin, const Array<int64_t, 2>& end,
               const Array<double, 2>& confidence, const Array<double, 1>& log_probability) {
    const Ctc what = ctc(log_p, lengths, texts, text_lengths, threads);
    const Alignments into{numbers("begin", begin, texts.shape), numbers("end", end, texts.shape),
                          numbers("confidence", confidence, texts.shape),
                          numbers("log_probability", log_probability, {what.B})};
    nb::gil_scoped_release release;
    bilstm::ctc_align(what, log_p.data, into);
}

using Numbers = Maybe<const int64_t, 1>;
using Values = Maybe<const double, 1>;

Trie trie(const Numbers& labels, const Numbers& first) {
    if (!labels) return {nullptr, nullptr};
    return {labels->data, numbers("first", first.value(), {labels->shape[0] + 1})};
}

// A number for each node of a trie; null where there is no trie.
template <class T>
T* of_nodes(const char* name, const Maybe<T, 1>& values, const Numbers& labels) {
    return labels ? numbers(name, values.value(), {labels->shape[0]}) : nullptr;
}

void ctc_search(const Array<const double, 3>& log_p, const Lengths& lengths, int threads, int64_t width,
                std::optional<int64_t> space, double log_prune, const Array<int64_t, 3>& tokens,
                const Array<int64_t, 2>& token_counts, const Array<double, 2>& score,
                const Array<double, 2>& log_probability, int64_t order, std::optional<int64_t> start,
                std::optional<int64_t> end, std::optional<int64_t> unknown, double ngram_weight, double word_bonus,
                double unknown_score, const Numbers& ngram_labels, const Numbers& ngram_first,
                const Values& ngram_log_probability, const Values& ngram_back_off, const Numbers& word_labels,
                const Numbers& word_first, const Numbers& word_ends, const Values& word_best,
                const Numbers& hot_labels, const Numbers& hot_first, const Values& hot_begun, const Values& hot_whole) {
    const auto [B, steps, K] = log_p.shape;
    const int64_t n_best = tokens.shape[1];
    const Language language{order,
                            trie(ngram_labels, ngram_first),
                            of_nodes("ngram_log_probability", ngram_log_probability, ngram_labels),
                            of_nodes("ngram_back_off", ngram_back_off, ngram_labels),
                            start.value_or(-1),
                            end.value_or(-1),
                            unknown.value_or(-1),
                            trie(word_labels, word_first),
                            of_nodes("word_ends", word_ends, word_labels),
                            of_nodes("word_best", word_best, word_labels),
                            ngram_weight,
                            word_bonus,
                            unknown_score};
    const HotWords words{trie(hot_labels, hot_first), of_nodes("hot_begun", hot_begun, hot_labels),
                         of_nodes("hot_whole", hot_whole, hot_labels)};
    const Search search{B, steps, K, numbers("lengths", lengths, {B}), log_p.data, width, n_best, space.value_or(-1),
                        log_prune, language, words, threads};
    const Found into{numbers("tokens", tokens, {B, n_best, steps}), numbers("token_counts", token_counts, {B, n_best}),
                     numbers("score", score, {B, n_best}), numbers("log_probability", log_probability, {B, n_best})};
    nb::gil_scoped_release release;
    bilstm::ctc_search(search, into);
}

double fma_rate(double seconds, int threads) {
    nb::gil_scoped_release release;
    return bilstm::fma_rate(seconds, threads);
}

// A function whose arguments are given by name only.
template <class F, class... Names>
void define(nb::module_& m, const char* name, F function, const char* words, Names... names) {
    m.def(name, function, words, nb::kw_only(), nb::arg(names)...);
}

}  // namespace
}  // namespace border
}  // namespace bilstm

NB_MODULE(_native, m) {
    using namespace bilstm;
    using border::define;
    Torch::get();
    m.def("isas", &isas, "Instruction sets that this processor can run, best first.");
    m.def("isa", &isa, "The one that the next call takes: BILSTM_ISA's, or the best.");
    m.def("last_isa", &last_isa, "The one that ran last; empty before the first run.");
    define(m, "fma_rate", &border::fma_rate, "GFLOP/s of fused multiply-adds that never leave the registers.", "seconds",
           "threads");
    define(m, "reserve_size", &border::reserve_size, "Floats that a training forward keeps for its backward.", "B", "T", "F",
           "H", "L", "D", "lengths", "dropout");
    define(m, "forward", &border::forward, "See Call and Result in native/lstm.hpp.", "input", "h0", "c0", "weights", "biases",
           "lengths", "masks", "directions", "threads", "output", "h_n", "c_n", "reserve", "bf16");
    define(m, "trace", &border::trace, "See Trace in native/lstm.hpp.", "input", "h0", "c0", "weights", "biases", "lengths",
           "masks", "directions", "threads", "output", "h_n", "c_n", "input_gate", "forget_gate", "candidate",
           "output_gate", "cell", "hidden", "bf16");
    define(m, "backward", &border::backward, "See Gradients in native/lstm.hpp; overwrites the reserve.", "input", "h0", "c0",
           "weights", "biases", "lengths", "masks", "directions", "threads", "reserve", "d_output", "d_h_n",
           "d_c_n", "d_input", "d_h0", "d_c0", "d_weights");
    define(m, "crf_reserve_size", &border::crf_reserve_size, "Doubles that a training crf_forward keeps for its backward.",
           "B", "T", "K");
    define(m, "crf_forward", &border::crf_forward, "See native/crf.hpp for this and the next three.", "emissions", "lengths",
           "transitions", "start", "end", "threads", "tags", "result", "reserve");
    define(m, "crf_backward", &border::crf_backward, "", "emissions", "lengths", "transitions", "start", "end", "threads",
           "tags", "d_result", "reserve", "d_emissions", "d_transitions", "d_start", "d_end");
    define(m, "crf_marginals", &border::crf_marginals, "", "emissions", "lengths", "transitions", "start", "end", "threads",
           "marginals");
    define(m, "crf_viterbi", &border::crf_viterbi, "", "emissions", "lengths", "transitions", "start", "end", "threads",
           "tags", "score");
    define(m, "ctc_loss", &border::ctc_loss, "See native/ctc.hpp for this and the next two.", "outputs", "lengths", "texts",
           "text_lengths", "threads", "loss", "gradients");
    define(m, "ctc_align", &border::ctc_align, "", "log_p", "lengths", "texts", "text_lengths", "threads", "begin", "end",
           "confidence", "log_probability");
    const auto none = [](const char* name) { return nb::arg(name) = nb::none(); };
    m.def("ctc_search", &border::ctc_search, "See Search in native/ctc.hpp.", nb::kw_only(), nb::arg("log_p"),
          nb::arg("lengths"), nb::arg("threads"), nb::arg("width"), none("space"), nb::arg("log_prune"),
          nb::arg("tokens"), nb::arg("token_counts"), nb::arg("score"), nb::arg("log_probability"),
          nb::arg("order") = 0, none("start"), none("end"), none("unknown"), nb::arg("ngram_weight"),
          nb::arg("word_bonus"), nb::arg("unknown_score"), none("ngram_labels"), none("ngram_first"),
          none("ngram_log_probability"), none("ngram_back_off"), none("word_labels"), none("word_first"),
          none("word_ends"), none("word_best"), none("hot_labels"), none("hot_first"), none("hot_begun"),
          none("hot_whole"));
}
