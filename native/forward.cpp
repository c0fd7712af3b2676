// Forward: layer over layer; in each, every direction and slice of rows runs through all its steps on its own.
#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "layout.hpp"
#include "pool.hpp"
#include "select.hpp"

namespace bilstm {

namespace {

// Where a step has few rows, the input of several is multiplied at once, so that its weights are read from the
// cache once for all of them. What is computed ahead stays in the second cache. Both ways add in the same order.
constexpr int64_t PROJECTED_BYTES = 1 << 19;

struct Packed {  // the weights of one layer and direction
    Floats input, hidden, bias;
};

Packed room_for(const Kernels& kernels, const Shape& shape, int64_t layer) {
    return {Floats(shape.blocks * 4 * kernels.column(shape.features(layer))),
            Floats(shape.blocks * 4 * kernels.column(shape.sizes.H)), Floats(shape.pitch)};
}

void pack_block(const Kernels& kernels, const Shape& shape, int64_t layer, const Weights<const float>& weights,
                int64_t block, bool recurs, Packed& to) {
    const int64_t H = shape.sizes.H, lanes = shape.lanes;
    kernels.pack_gates(weights.input, H, shape.features(layer), block, to.input);
    if (recurs) kernels.pack_gates(weights.hidden, H, H, block, to.hidden);
    float* bias = to.bias + block * 4 * lanes;
    for (int64_t g = 0; g < 4; ++g)
        for (int64_t lane = 0; lane < lanes; ++lane) {
            const int64_t unit = block * lanes + lane;
            const bool has = unit < H && weights.input_bias;
            bias[g * lanes + lane] = has ? weights.input_bias[g * H + unit] + weights.hidden_bias[g * H + unit] : 0.0f;
        }
}

// One direction of one layer over one slice of the rows.
class Run {
    const Kernels& kernels;
    const Layer& layer;
    const Slice slice;
    const int64_t d;
    const Packed& packed;
    float *gates, *cells;  // what training keeps, or null

    const Shape& shape = layer.shape;
    const Order& order = layer.order;
    const int64_t rows = slice.end - slice.first;
    Floats first_cells{rows * shape.units};  // c0, in inference overwritten step by step
    Addresses& at;
    std::vector<const float*> places;        // rows of first_cells
    Floats ahead;
    std::vector<const float*> ahead_rows;
    Floats scratch{kernels.scratch(most() + rows, std::max(shape.features(layer.index), shape.sizes.H), 64)};

    // Rows whose input is multiplied at once, the last step's not counted.
    int64_t most() const { return std::max<int64_t>(kernels.lanes, PROJECTED_BYTES / (4 * shape.pitch)); }

    int64_t time(int64_t s) const { return d == 0 ? s : order.steps - 1 - s; }
    int64_t running(int64_t s) const { return slice.alive(order, time(s)); }
    int64_t first_row(int64_t s) const { return order.offset[time(s)] + slice.first; }

    void begin() {
        const int64_t H = shape.sizes.H;
        for (int64_t i = 0; i < rows; ++i) {
            float* c = first_cells + i * shape.units;
            const float* c0 = layer.state(layer.call.c0, d, slice.first + i);
            std::fill(c, c + shape.units, 0.0f);
            if (c0) std::copy(c0, c0 + H, c);
            places[i] = c;
        }
        // addresses count places from 0
        layer.address(slice, d, cells, first_cells - slice.first * shape.units, at);
    }

    void step(int64_t s, const float* projected) {
        const int64_t r = first_row(s), n = running(s);
        const bool all_begin = s == 0 || running(s - 1) == 0;
        Step step{};
        step.rows = n;
        step.features = shape.features(layer.index);
        step.hidden = shape.sizes.H;
        step.input = projected ? nullptr : at.input.data() + r;
        step.projected = projected;
        step.input_weights = packed.input;
        step.bias = packed.bias;
        step.hidden_weights = packed.hidden;
        step.before = all_begin && !layer.call.h0 ? nullptr : at.before.data() + r;
        step.cells_before = cells ? at.cells_before.data() + r : places.data();
        step.cells = cells ? cells + r * shape.units : static_cast<float*>(first_cells);
        step.gates = gates ? gates + r * shape.pitch : nullptr;
        step.output = at.output.data() + r;
        step.scratch = scratch;
        kernels.step(step);
        if (layer.hidden && layer.output)
            for (int64_t i = 0; i < n; ++i) {
                float* to = layer.output(order.row[slice.first + i], time(s)) + d * step.hidden;
                std::copy_n(at.output[r + i], step.hidden, to);
            }
    }

    // Steps from s on, whose input was multiplied together; returns the first step not taken.
    int64_t several_steps(int64_t s) {
        if (!ahead) {
            ahead = Floats(round_up(most() + rows, 16) * shape.pitch);
            ahead_rows.resize(most() + rows);
        }
        int64_t end = s, n = 0;
        for (; end < order.steps && n < most() && running(end) < kernels.enough_rows; ++end) {
            const float* const* input = at.input.data() + first_row(end);
            std::copy(input, input + running(end), ahead_rows.data() + n);
            n += running(end);
        }
        kernels.project(n, ahead_rows.data(), shape.features(layer.index), shape.sizes.H, packed.input, packed.bias,
                        ahead, scratch);
        for (int64_t done = 0; s < end; done += running(s), ++s)
            if (running(s)) step(s, ahead + done * shape.pitch);
        return end;
    }

    // Final states, padding, and what dropout leaves for the next layer.
    void finish(const Result& result, float* dropped) {
        const Sizes& z = shape.sizes;
        for (int64_t place = slice.first; place < slice.end; ++place) {
            const int64_t b = order.row[place], length = order.length[place], state = (layer.number(d) * z.B + b) * z.H;
            const int64_t r = length ? order.offset[d == 0 ? length - 1 : 0] + place : 0;
            const float* h = length ? at.output[r] : layer.call.h0 ? layer.state(layer.call.h0, d, place) : layer.zeros;
            const float* c = cells && length ? cells + r * shape.units : places[place - slice.first];
            std::copy(h, h + z.H, result.h_n + state);
            std::copy(c, c + z.H, result.c_n + state);
            if (layer.output)
                for (int64_t t = length; t < z.T; ++t) std::fill_n(layer.output(b, t) + d * z.H, z.H, 0.0f);
            else if (dropped)
                for (int64_t t = 0; t < length; ++t) {
                    const int64_t from = (order.offset[t] + place) * shape.width() + d * z.H;
                    const float* mask = layer.call.masks[layer.index](b, t) + d * z.H;
                    for (int64_t u = 0; u < z.H; ++u) dropped[from + u] = layer.hidden[from + u] * mask[u];
                }
        }
    }

  public:
    Run(const Kernels& kernels, const Layer& layer, const Slice& slice, int64_t d, const Packed& packed, float* gates,
        float* cells, Addresses& at)
        : kernels(kernels), layer(layer), slice(slice), d(d), packed(packed), gates(gates), cells(cells), at(at),
          places(rows) {}

    void operator()(const Result& result, float* dropped) {
        begin();
        for (int64_t s = 0; s < order.steps;) {
            if (running(s) == 0)
                ++s;
            else if (running(s) >= kernels.enough_rows)
                step(s++, nullptr);
            else
                s = several_steps(s);
        }
        finish(result, dropped);
    }
};

}  // namespace

int64_t reserve_size(const Call& call) {
    const int64_t total = Order(call).total();
    int64_t most = 0;
    for (int number = 0; number < static_cast<int>(isas().size()); ++number)  // whichever will run
        most = std::max(most, reserve_floats(Shape(call.sizes, by_number(number).lanes), total, !call.masks.empty()));
    return most;
}

void forward(const Call& call, const Result& result, float* reserve) {
    const Order order(call);
    const std::vector<Slice> parts = slices(call, order);
    const int64_t total = order.total();
    // not the rows of a slice: the choice must not depend on the number of threads
    const int64_t rows = total / std::max<int64_t>(1, order.steps);
    const Kernels& kernels = select({call.training, call.bf16, call.sizes.H, rows});
    const Shape shape(call.sizes, kernels.lanes);
    const Sizes& z = shape.sizes;
    const bool masked = !call.masks.empty();

    std::vector<Packed> packed(z.L * z.D);
    for (int64_t k = 0; k < z.L * z.D; ++k) packed[k] = room_for(kernels, shape, k / z.D);
    const bool recurs = order.steps > 1 || call.h0;
    parallel(call.threads, z.L * z.D * shape.blocks, [&](int64_t task) {
        const int64_t k = task / shape.blocks;
        pack_block(kernels, shape, k / z.D, call.weights[k], task % shape.blocks, recurs, packed[k]);
    });

    std::vector<Kept> kept(z.L);
    Floats between[4];  // in inference: what the layers pass on, by turns, and its masked copies
    if (reserve) {
        reserve[0] = static_cast<float>(number_of(kernels));
        reserve[1] = static_cast<float>(kernels.lanes);
        kept = keep(shape, total, masked, reserve);
    } else {
        for (int64_t l = 0; l + 1 < z.L; ++l) {
            for (int64_t i = l % 2; i < (masked ? 4 : 2); i += 2)
                if (!between[i]) between[i] = Floats(total * shape.width());
            kept[l] = {{}, {}, between[l % 2], masked ? between[2 + l % 2] : between[l % 2]};
        }
    }
    std::vector<float> zeros(z.H, 0.0f);
    std::vector<Addresses> addresses(z.D);
    for (Addresses& at : addresses) {
        at.input.resize(total);
        at.before.resize(total);
        at.output.resize(total);
        if (reserve) at.cells_before.resize(total);
    }
    for (int64_t l = 0; l < z.L; ++l) {
        const Layer layer{call,
                          shape,
                          order,
                          l,
                          l + 1 == z.L ? result.output : Steps<float>(),
                          l ? kept[l - 1].input : nullptr,
                          kept[l].hidden,
                          zeros.data()};
        parallel(call.threads, z.D * static_cast<int64_t>(parts.size()), [&](int64_t task) {
            const int64_t d = task % z.D;
            Run run(kernels, layer, parts[task / z.D], d, packed[layer.number(d)], kept[l].gates[d], kept[l].cells[d],
                    addresses[d]);
            run(result, masked ? kept[l].input : nullptr);
        });
    }
    ran(kernels);
}

}  // namespace bilstm
