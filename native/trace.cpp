// A run with all its steps: what training keeps for its backward, copied to where a reader looks for it.
#include <algorithm>

#include "layout.hpp"
#include "pool.hpp"

namespace bilstm {

namespace {

// One row in one direction of one layer, from step `begin` on in what is written.
struct Row {
    const Shape& shape;
    const Order& order;
    const Kept& kept;
    const Trace& to;
    const int64_t d, place, begin;

    void gates(int64_t t) const {
        const float* from = kept.gates[d] + (order.offset[t] + place) * shape.pitch;
        const int64_t H = shape.sizes.H, at = (begin + t) * H;
        for (int64_t unit = 0; unit < H; unit += shape.lanes)
            for (int64_t g = 0; g < 4; ++g, from += shape.lanes)
                std::copy_n(from, std::min(shape.lanes, H - unit), to.gates[g] + at + unit);
    }

    void states(int64_t t) const {
        const int64_t H = shape.sizes.H, at = (begin + t) * H, r = order.offset[t] + place;
        std::copy_n(kept.cells[d] + r * shape.units, H, to.cell + at);
        std::copy_n(kept.hidden + r * shape.width() + d * H, H, to.hidden + at);
    }

    void operator()() const {
        const int64_t H = shape.sizes.H, T = shape.sizes.T, length = order.length[place];
        for (int64_t t = 0; t < length; ++t) {
            gates(t);
            states(t);
        }
        for (float* part : {to.gates[0], to.gates[1], to.gates[2], to.gates[3], to.cell, to.hidden})
            std::fill_n(part + (begin + length) * H, (T - length) * H, 0.0f);
    }
};

}  // namespace

void trace(const Call& call, const Result& result, const Trace& steps) {
    const Floats reserve(reserve_size(call));
    forward(call, result, reserve);
    const Order order(call);
    const Shape shape(call.sizes, static_cast<int64_t>(reserve[1]));
    const Sizes& z = shape.sizes;
    const std::vector<Kept> kept = keep(shape, order.total(), !call.masks.empty(), reserve);
    parallel(call.threads, z.L * z.D * z.B, [&](int64_t task) {
        const int64_t way = task / z.B, place = task % z.B;
        Row{shape, order, kept[way / z.D], steps, way % z.D, place, (way * z.B + order.row[place]) * z.T}();
    });
}

}  // namespace bilstm
