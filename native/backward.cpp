// Backward: from the last layer to the first. In each, every direction and slice of rows goes back through all its
// steps and turns the kept gates into their gradients; then the gradients of input and weights are large products.
#include <algorithm>

#include "layout.hpp"
#include "pool.hpp"
#include "select.hpp"

namespace bilstm {

namespace {

constexpr int64_t SUMS_BYTES = 1 << 20;

struct Panelled {  // the weights of one layer and direction, for products with gate gradients
    Floats input, hidden;
};

// One direction of one layer over one slice of the rows.
class RunBack {
    const Kernels& kernels;
    const Layer& layer;
    const Slice slice;
    const int64_t d;
    const Panelled& weights;
    float *gates, *cells;
    const Gradients& gradients;
    const float* d_above;  // packed rows: gradient of this layer's h from the layer above; null: the output's

    const Shape& shape = layer.shape;
    const Order& order = layer.order;
    const int64_t rows = slice.end - slice.first, H = shape.sizes.H;
    Floats first_cells{rows * shape.units}, d_cells{rows * shape.units};
    Addresses& at;
    std::vector<const float*> d_output, ending;
    Floats scratch{kernels.scratch(rows, shape.pitch, 64)};

    int64_t time(int64_t s) const { return d == 0 ? order.steps - 1 - s : s; }
    int64_t running(int64_t s) const { return s < 0 ? 0 : slice.alive(order, time(s)); }
    int64_t first_row(int64_t s) const { return order.offset[time(s)] + slice.first; }

    void spread(const float* states, int64_t i, float* to) const {  // H numbers of one state, then zeros
        const float* from = layer.state(states, d, slice.first + i);
        std::fill(to, to + shape.units, 0.0f);
        if (from) std::copy(from, from + H, to);
    }

    void begin() {
        for (int64_t i = 0; i < rows; ++i) {
            spread(layer.call.c0, i, first_cells + i * shape.units);
            spread(gradients.c_n, i, d_cells + i * shape.units);
            ending[i] = layer.state(gradients.h_n, d, slice.first + i);
        }
        // addresses count places from 0
        layer.address(slice, d, cells, first_cells - slice.first * shape.units, at);
    }

    void step(int64_t s) {
        const int64_t r = first_row(s), n = running(s), t = time(s);
        const bool has_output = d_above || gradients.output;
        for (int64_t i = 0; i < n && has_output; ++i) {
            const int64_t b = order.row[slice.first + i];
            d_output[i] = (d_above ? d_above + (r + i) * shape.width() : gradients.output(b, t)) + d * H;
        }
        StepBack step{};
        step.rows = n;
        step.hidden = H;
        step.continued = std::min(n, running(s - 1));
        step.next = step.continued ? gates + first_row(s - 1) * shape.pitch : nullptr;
        step.weights = weights.hidden;
        step.ending = gradients.h_n ? ending.data() + step.continued : nullptr;
        step.d_output = has_output ? d_output.data() : nullptr;
        step.cells = cells + r * shape.units;
        step.cells_before = at.cells_before.data() + r;
        step.gates = gates + r * shape.pitch;
        step.d_cells = d_cells;
        step.scratch = scratch;
        kernels.step_back(step);
    }

    void finish() {
        const Sizes& z = shape.sizes;
        for (int64_t i = 0; i < rows; ++i) {
            const int64_t place = slice.first + i, length = order.length[place];
            const int64_t state = (layer.number(d) * z.B + order.row[place]) * H;
            if (gradients.c0) std::copy_n(d_cells + i * shape.units, H, gradients.c0 + state);
            if (!gradients.h0) continue;
            float* d_h0 = gradients.h0 + state;
            if (length == 0) {
                std::fill_n(d_h0, H, 0.0f);
                if (ending[i]) std::copy_n(ending[i], H, d_h0);
                continue;
            }
            const float* start = gates + (order.offset[d == 0 ? 0 : length - 1] + place) * shape.pitch;
            kernels.multiply({1, H, 1, shape.pitch, {&start, nullptr}, {weights.hidden, nullptr}, nullptr, &d_h0,
                              scratch});
        }
    }

  public:
    RunBack(const Kernels& kernels, const Layer& layer, const Slice& slice, int64_t d, const Panelled& weights,
            float* gates, float* cells, const Gradients& gradients, const float* d_above, Addresses& at)
        : kernels(kernels), layer(layer), slice(slice), d(d), weights(weights), gates(gates), cells(cells),
          gradients(gradients), d_above(d_above), at(at), d_output(rows), ending(rows) {}

    void operator()() {
        begin();
        for (int64_t s = 0; s < order.steps; ++s)
            if (running(s)) step(s);
        finish();
    }
};

// Gradients of the weights of some blocks of one direction: sums over all packed rows, always in their order.
void weight_gradients(const Kernels& kernels, const Layer& layer, int64_t first_block, int64_t end_block,
                      const float* gates, const Addresses& at, bool recurs, const Weights<float>& to) {
    const Shape& shape = layer.shape;
    const int64_t F = shape.features(layer.index), H = shape.sizes.H, width = 4 * shape.lanes;
    const int64_t total = layer.order.total();
    const int64_t depth = round_up(F, FEATURES) + (recurs ? round_up(H, FEATURES) : 0);
    const int64_t blocks = end_block - first_block;
    Floats sums(depth * blocks * width), bias(blocks * width), scratch(kernels.weight_scratch(F + H));
    std::fill_n(static_cast<float*>(sums), depth * blocks * width, 0.0f);
    std::fill_n(static_cast<float*>(bias), blocks * width, 0.0f);
    float* hidden_sums = sums + round_up(F, FEATURES) * blocks * width;
    kernels.weight_gradient({total,
                             blocks,
                             gates + first_block * width,
                             shape.pitch,
                             {at.input.data(), recurs ? at.before.data() : nullptr},
                             {F, H},
                             {sums, hidden_sums},
                             bias,
                             scratch});
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t block = first_block + b, unit = block * shape.lanes;
        if (to.input) kernels.unpack_gates(sums + b * round_up(F, FEATURES) * width, H, F, block, to.input);
        for (int64_t g = 0; g < 4; ++g)
            for (int64_t u = unit; u < std::min(unit + shape.lanes, H); ++u) {
                const float d = bias[b * width + g * shape.lanes + u - unit];
                if (to.input_bias) to.input_bias[g * H + u] = d;
                if (to.hidden_bias) to.hidden_bias[g * H + u] = d;
                if (to.hidden && !recurs) std::fill_n(to.hidden + (g * H + u) * H, H, 0.0f);
            }
        if (to.hidden && recurs)
            kernels.unpack_gates(hidden_sums + b * round_up(H, FEATURES) * width, H, H, block, to.hidden);
    }
}

// Gradient of the layer's input for packed rows first…end: the directions' shares, times the mask of dropout.
void input_gradient(const Kernels& kernels, const Layer& layer, int64_t first, int64_t end, const Kept& kept,
                    const Panelled* weights, const std::vector<std::pair<int64_t, int64_t>>& place_and_time,
                    const Gradients& gradients, float* d_below) {
    const Shape& shape = layer.shape;
    const int64_t n = end - first, width = shape.features(layer.index);
    std::vector<const float*> gates[2], mask;
    std::vector<float*> to(n);
    for (int64_t d = 0; d < shape.sizes.D; ++d) gates[d].resize(n);
    const bool masked = d_below && !layer.call.masks.empty();
    if (masked) mask.resize(n);
    for (int64_t i = 0; i < n; ++i) {
        const int64_t r = first + i, b = layer.order.row[place_and_time[r].first], t = place_and_time[r].second;
        for (int64_t d = 0; d < shape.sizes.D; ++d) gates[d][i] = kept.gates[d] + r * shape.pitch;
        to[i] = d_below ? d_below + r * width : gradients.input(b, t);
        if (masked) mask[i] = layer.call.masks[layer.index - 1](b, t);
    }
    const Floats scratch(kernels.scratch(n, shape.pitch, width));
    kernels.multiply({n, width, static_cast<int>(shape.sizes.D), shape.pitch, {gates[0].data(), gates[1].data()},
                      {weights[0].input, weights[shape.sizes.D - 1].input}, masked ? mask.data() : nullptr, to.data(),
                      scratch});
}

void zero_padding(const Call& call, const Order& order, const Steps<float>& d_input) {
    for (int64_t place = 0; place < call.sizes.B; ++place)
        for (int64_t t = order.length[place]; t < call.sizes.T; ++t)
            std::fill_n(d_input(order.row[place], t), call.sizes.F, 0.0f);
}

}  // namespace

void backward(const Call& call, float* reserve, const Gradients& gradients) {
    const Kernels& kernels = by_number(static_cast<int>(reserve[0]));
    const Shape shape(call.sizes, kernels.lanes);
    const Sizes& z = shape.sizes;
    const Order order(call);
    const std::vector<Slice> parts = slices(call, order);
    const int64_t total = order.total(), per_thread = 4 * std::max(call.threads, 1);
    const std::vector<Kept> kept = keep(shape, total, !call.masks.empty(), reserve);
    const bool recurs = order.steps > 1 || call.h0;

    std::vector<Panelled> weights(z.L * z.D);
    const auto panels = [&](int64_t columns) { return Panels(columns, static_cast<int>(shape.lanes)); };
    const auto packs_input = [&](int64_t layer) { return layer > 0 || gradients.input; };
    std::vector<std::pair<int64_t, int64_t>> packing;  // which weights, which panel; those of W_hh come negative
    for (int64_t k = 0; k < z.L * z.D; ++k) {
        const int64_t F = shape.features(k / z.D);
        if (recurs) {
            weights[k].hidden = Floats(panels(z.H).vectors * kernels.column(shape.pitch));
            for (int64_t p = 0; p < panels(z.H).count; ++p) packing.emplace_back(k, -1 - p);
        }
        if (packs_input(k / z.D)) {
            weights[k].input = Floats(panels(F).vectors * kernels.column(shape.pitch));
            for (int64_t p = 0; p < panels(F).count; ++p) packing.emplace_back(k, p);
        }
    }
    parallel(call.threads, static_cast<int64_t>(packing.size()), [&](int64_t task) {
        const auto [k, p] = packing[task];
        if (p < 0)
            kernels.pack_panels(call.weights[k].hidden, z.H, z.H, -1 - p, weights[k].hidden);
        else
            kernels.pack_panels(call.weights[k].input, z.H, shape.features(k / z.D), p, weights[k].input);
    });

    std::vector<std::pair<int64_t, int64_t>> place_and_time(total);
    for (int64_t t = 0; t < order.steps; ++t)
        for (int64_t place = 0; place < order.alive(t); ++place) place_and_time[order.offset[t] + place] = {place, t};
    std::vector<float> zeros(z.H, 0.0f);
    std::vector<Addresses> addresses(z.D);
    for (Addresses& at : addresses) {
        at.input.resize(total);
        at.before.resize(total);
        at.output.resize(total);
        at.cells_before.resize(total);
    }
    const float* d_above = nullptr;
    for (int64_t l = z.L - 1; l >= 0; --l) {
        const Layer layer{call, shape, order, l, {}, l ? kept[l - 1].input : nullptr, kept[l].hidden, zeros.data()};
        parallel(call.threads, z.D * static_cast<int64_t>(parts.size()), [&](int64_t task) {
            const int64_t d = task % z.D;
            RunBack(kernels, layer, parts[task / z.D], d, weights[layer.number(d)], kept[l].gates[d], kept[l].cells[d],
                    gradients, d_above, addresses[d])();
        });

        float* d_below = l > 0 ? kept[l].cells[0] : nullptr;  // the cells have served
        // Blocks whose sums stay in the second cache together share one pass over the features.
        const int64_t depth = shape.features(l) + z.H, shares = (call.threads + z.D - 1) / z.D;
        const int64_t group = std::clamp<int64_t>(SUMS_BYTES / (depth * 16 * shape.lanes), 1,
                                                  (shape.blocks + shares - 1) / shares);
        const int64_t groups = (shape.blocks + group - 1) / group, weight_tasks = z.D * groups;
        const int64_t rows = std::clamp<int64_t>(round_up((total + per_thread - 1) / per_thread, 48), 48, 384);
        const int64_t row_tasks = packs_input(l) ? (total + rows - 1) / rows : 0;
        parallel(call.threads, weight_tasks + row_tasks, [&](int64_t task) {
            if (task < weight_tasks) {
                const int64_t d = task % z.D, first = task / z.D * group;
                weight_gradients(kernels, layer, first, std::min(first + group, shape.blocks), kept[l].gates[d],
                                 addresses[d], recurs, gradients.weights[layer.number(d)]);
                return;
            }
            const int64_t first = (task - weight_tasks) * rows;
            input_gradient(kernels, layer, first, std::min(total, first + rows), kept[l], &weights[l * z.D],
                           place_and_time, gradients, d_below);
        });
        d_above = d_below;
    }
    if (gradients.input) zero_padding(call, order, gradients.input);
    ran(kernels);
}

}  // namespace bilstm
