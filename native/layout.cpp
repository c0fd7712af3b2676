// Layouts and addresses; every loop here is over rows, never over numbers.
#include "layout.hpp"

#include <algorithm>

namespace bilstm {

Order::Order(const Call& call) : steps(0) {
    const int64_t B = call.sizes.B, T = call.sizes.T;
    const auto of = [&](int64_t b) { return call.lengths ? call.lengths[b] : T; };
    std::vector<int64_t> counts(T + 2, 0);  // counts[n + 1]: rows longer than n, then where such a row goes
    for (int64_t b = 0; b < B; ++b) {
        ++counts[of(b)];
        steps = std::max(steps, of(b));
    }
    offset.assign(steps + 1, 0);
    std::vector<int64_t> place(T + 1);
    int64_t longer = 0;
    for (int64_t n = T; n >= 0; --n) {
        place[n] = longer;
        longer += counts[n];
    }
    row.resize(B);
    length.resize(B);
    for (int64_t b = 0; b < B; ++b) {
        const int64_t at = place[of(b)]++;
        row[at] = b;
        length[at] = of(b);
    }
    int64_t running = B;
    for (int64_t t = 0; t < steps; ++t) {
        while (running > 0 && length[running - 1] <= t) --running;
        offset[t + 1] = offset[t] + running;
    }
}

std::vector<Slice> slices(const Call& call, const Order& order) {
    constexpr int64_t FEWEST = 8;  // rows; fewer do not fill the registers
    const int64_t B = call.sizes.B, wanted = (call.threads + call.sizes.D - 1) / call.sizes.D;
    const int64_t count = std::max<int64_t>(1, std::min(wanted, B / FEWEST));
    std::vector<Slice> found;
    int64_t first = 0, done = 0;
    for (int64_t s = 1; s <= count; ++s) {
        int64_t end = first;
        while (end < B && (s == count || done < order.total() * s / count)) done += order.length[end++];
        found.push_back({first, end});
        first = end;
    }
    return found;
}

namespace {

// Calls take(n) for each array of the reserve in turn, which returns its address.
template <class Take>
std::vector<Kept> arrange(const Shape& shape, int64_t total, bool masks, Take take) {
    std::vector<Kept> kept(shape.sizes.L);
    for (int64_t l = 0; l < shape.sizes.L; ++l) {
        Kept& layer = kept[l];
        layer = {};
        for (int64_t d = 0; d < shape.sizes.D; ++d) layer.gates[d] = take(total * shape.pitch);
        for (int64_t d = 0; d < shape.sizes.D; ++d) layer.cells[d] = take(total * shape.units);
        layer.hidden = take(total * shape.width());
        if (l + 1 < shape.sizes.L) layer.input = masks ? take(total * shape.width()) : layer.hidden;
    }
    return kept;
}

}  // namespace

int64_t reserve_floats(const Shape& shape, int64_t total, bool masks) {
    int64_t floats = RESERVE_HEAD;
    arrange(shape, total, masks, [&](int64_t n) {
        floats += round_up(n, 16);
        return static_cast<float*>(nullptr);
    });
    return floats;
}

std::vector<Kept> keep(const Shape& shape, int64_t total, bool masks, float* reserve) {
    float* next = reserve + RESERVE_HEAD;
    return arrange(shape, total, masks, [&](int64_t n) {
        float* here = next;
        next += round_up(n, 16);
        return here;
    });
}

void Layer::address(const Slice& slice, int64_t d, const float* cells, const float* first_cells, Addresses& to) const {
    const int64_t H = shape.sizes.H, width = shape.width();
    for (int64_t s = 0; s < order.steps; ++s) {
        const int64_t t = d == 0 ? s : order.steps - 1 - s, t_before = d == 0 ? t - 1 : t + 1;
        const int64_t running = slice.alive(order, t), going_on = std::min(running, slice.alive(order, t_before));
        for (int64_t i = 0; i < running; ++i) {
            const int64_t place = slice.first + i, r = order.offset[t] + place, b = order.row[place];
            to.input[r] = below ? below + r * width : call.input(b, t);
            to.output[r] = (hidden ? hidden + r * width : output(b, t)) + d * H;
            if (i < going_on) {
                const int64_t r_before = order.offset[t_before] + place;
                to.before[r] = to.output[r_before];
                if (cells) to.cells_before[r] = cells + r_before * shape.units;
            } else {
                to.before[r] = call.h0 ? state(call.h0, d, place) : zeros;
                if (cells) to.cells_before[r] = first_cells + place * shape.units;
            }
        }
    }
}

}  // namespace bilstm
