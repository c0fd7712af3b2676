"""The leakage alarm: columns that know what is to be forecast, rows out of order. Knows numbers; no model, no files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg, stats

from bilstm.data.columns import Array, filled_forward
from bilstm.data.source import ARRAYS, check_columns

# rows looked at: whole series, or blocks of them from all over the data; fewer where many targets meet many columns
_ROWS, _BLOCK, _WORK = 20_000, 1_000, 2e8
_LAGS = 5  # own past values of the target that are taken out of a column before it is asked what it knows
# steps ahead for which a column is asked, at least and at most: a mean over both sides of a step knows several
_FEWEST, _MOST = 5, 10
# partial correlation from which a column knows the future; both kinds must be near, one outlier is not enough
_KNOWS, _SUPPORTS = 0.8, 0.5
_SAME, _EXACT = 0.99, 1 - 1e-6  # correlation of changes from which a column is the target; is it exactly
_LEAST = 50  # rows; fewer say nothing
_FEW = 10  # changes; fewer do not show that two columns are one
_DEPENDENT = 1e-9  # the share of the largest singular value below which a direction is none of its own
_ROUNDING = 1e-6  # of a column, what remains of it after its explanation that is nothing but rounding


def find_leaks(
    values: Array, names: Sequence[str], targets: Sequence[str], future: Sequence[str], lengths: Array, horizon: int
) -> list[str]:
    """Say which columns know the target before its time, and whether the rows look shuffled.

    .. math:: |\\mathrm{corr}(x_t, \\; y_{t+j} - y_t \\mid y_t, \\ldots, y_{t-5})| > 0.8 \\quad\\text{for some } j

    is what a column x must not reach: what it knows of the change to come beyond the target's own past. ``values`` are
    (S, C), all series one below the other, NaN where missing. Each sentence is about one fault, and names the column.

    The trap: this is statistics over at most 20,000 rows. A column that really leads the target looks like one that
    was shifted, and a column that knows only a little of the future is not found.
    """
    index = {name: place for place, name in enumerate(names)}
    check_columns([*targets, *future], names, ARRAYS)
    rows, block = _sample(np.asarray(lengths), len(names) * max(len(targets), 1))
    table = _standard(np.asarray(values, dtype=np.float64)[rows])
    leads = min(max(horizon, _FEWEST), _MOST)
    sentences: list[str] = []
    ahead = set(future)
    for number, target_name in enumerate(targets):
        target = table[:, index[target_name]]
        if np.isnan(target).all():
            continue
        # of two targets that are one, the later says so
        skipped = {target_name, *targets[number + 1 :]}
        others = [name for name in names if name not in ahead and name != target_name]
        same = [n for n in others if n not in skipped and min(_agreement(table[:, index[n]], target, block)) > _EXACT]
        sentences += [
            f"column {name!r} repeats {target_name!r}: it is the same up to scale, and adds nothing" for name in same
        ]
        rest = [name for name in others if name not in same]
        sentences += _knowing(table, block, index, target_name, rest, leads)
        for name in names:
            if name in ahead and name != target_name:
                sentences += _equal(table[:, index[name]], target, block, name, target_name, min(horizon, leads))
    return sentences + _shuffled(table, block, index, targets)


def _sample(lengths: Array, pairs: int) -> tuple[Array, Array]:
    """Rows to look at, and the block that each belongs to: contiguous pieces of one series each."""
    budget = int(min(_ROWS, max(2 * _BLOCK, _WORK / pairs)))
    starts = np.cumsum(lengths) - lengths
    if lengths.sum() > budget:
        pieces = -(-lengths // _BLOCK)
        series = np.repeat(np.arange(len(lengths)), pieces)
        first = _BLOCK * (np.arange(len(series)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
        sizes = np.minimum(_BLOCK, lengths[series] - first)
        many = max(1, int(budget / sizes.mean()))
        chosen = np.unique(np.linspace(0, len(series) - 1, min(many, len(series))).round().astype(np.int64))
        starts, lengths = (starts[series] + first)[chosen], sizes[chosen]
    block = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(len(block)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[block] + within, block


def _standard(table: Array) -> Array:
    """Columns less their mean, by their standard deviation; those without one, and infinities, are NaN."""
    table = np.where(np.isfinite(table), table, np.nan)
    known = ~np.isnan(table)
    count = np.maximum(known.sum(axis=0), 1)
    table = table - np.sum(table, axis=0, where=known) / count
    spread = np.sqrt(np.sum(table**2, axis=0, where=known) / count)
    return table / np.where(spread > 0, spread, np.nan)


def _knowing(
    table: Array, block: Array, index: dict[str, int], target_name: str, others: Sequence[str], leads: int
) -> list[str]:
    """Sentences about columns that tell the target's change over some lead beyond its own past."""
    target = table[:, index[target_name]]
    size = len(target) - _LAGS - leads
    if size < _LEAST or not others:
        return []
    now = slice(_LAGS, _LAGS + size)
    past = np.column_stack([np.ones(size)] + [target[_LAGS - lag : _LAGS - lag + size] for lag in range(_LAGS + 1)])
    to_come = np.column_stack([target[_LAGS + j : _LAGS + j + size] for j in range(1, leads + 1)]) - past[:, 1:2]
    whole = (block[:size] == block[_LAGS + leads :]) & ~np.isnan(past).any(axis=1) & ~np.isnan(to_come).any(axis=1)
    if whole.sum() < _LEAST:
        return []
    own, columns = past[whole], np.nan_to_num(_carried(table[:, [index[n] for n in others]], block)[now][whole])
    basis = linalg.orth(own, rcond=_DEPENDENT)
    change, news = _rest(to_come[whole], basis), _rest(columns, basis)
    correlations = _correlation(news, change)  # (columns, leads)
    result = []
    for place, name in enumerate(others):
        row = np.abs(correlations[place])
        best = int(row.argmax())
        if row[best] <= _SUPPORTS:
            continue
        ranked = abs(float(stats.spearmanr(news[:, place], change[:, best]).statistic))
        if max(row[best], ranked) > _KNOWS and min(row[best], ranked) > _SUPPORTS:
            steps = "1 step" if best == 0 else f"{best + 1} steps"
            result.append(
                f"column {name!r} knows the future of {target_name!r}: it tells the change over the next {steps} "
                f"(correlation {max(row[best], ranked):.2f} beyond the last {_LAGS + 1} values of {target_name!r}); "
                "if it was computed from later rows (a shift, a centred mean), leave it out"
            )
    return result


def _equal(column: Array, target: Array, block: Array, name: str, target_name: str, reach: int) -> list[str]:
    """A sentence if a column known ahead is the target, at the same step or shifted within the horizon."""
    if _agreement(column, target, block)[0] > _SAME:
        what = f"is {target_name!r} itself"
    else:
        shifts = (s for lag in range(1, reach + 1) for s in (lag, -lag) if s < reach)
        shift = next((s for s in shifts if _news_agreement(column, target, block, s) > _SAME), 0)
        if shift == 0:
            return []
        steps = f"{abs(shift)} step{'s' if abs(shift) > 1 else ''} {'later' if shift > 0 else 'earlier'}"
        what = f"{steps} it is {target_name!r}"
    return [f"column {name!r} is said to be known ahead, but {what}: leave it out or do not call it so"]


def _agreement(column: Array, target: Array, block: Array) -> tuple[float, float]:
    """Absolute correlations of a column with the target at the same step: of the changes, of the levels."""
    pairs = ~np.isnan(column) & ~np.isnan(target)
    steps = (block[1:] == block[:-1]) & pairs[1:] & pairs[:-1]
    if steps.sum() < _FEW:
        return 0.0, 0.0
    changes = _correlation(np.diff(column)[steps][:, None], np.diff(target)[steps][:, None])
    levels = _correlation(column[pairs][:, None], target[pairs][:, None])
    return abs(float(changes[0, 0])), abs(float(levels[0, 0]))


def _news_agreement(column: Array, target: Array, block: Array, shift: int) -> float:
    """The absolute correlation of what a column's own past does not tell with the same of the target, shift rows on."""
    rows = np.arange(_LAGS + abs(shift), len(target) - abs(shift))
    rows = rows[block[rows - _LAGS - abs(shift)] == block[rows + abs(shift)]][:, None] - np.arange(_LAGS + 1)
    now, then = column[rows + shift], target[rows]
    whole = ~np.isnan(now).any(axis=1) & ~np.isnan(then).any(axis=1)
    if whole.sum() < _LEAST:
        return 0.0
    ones = np.ones((int(whole.sum()), 1))
    news = [
        _rest(part[:, :1], linalg.orth(np.hstack([ones, part[:, 1:]]), rcond=_DEPENDENT))
        for part in (now[whole], then[whole])
    ]
    return abs(float(_correlation(*news)[0, 0]))


def _shuffled(table: Array, block: Array, index: dict[str, int], targets: Sequence[str]) -> list[str]:
    """A sentence if neighbouring rows resemble each other no more than any two, in the targets and most columns."""
    alone = {name: _alone(table[:, place], block) for name, place in index.items()}
    verdicts = {name: bool(answer) for name, answer in alone.items() if answer is not None}
    judged = [target_name for target_name in targets if target_name in verdicts]
    others = [name for name in verdicts if name not in targets]
    if not judged or not all(verdicts[target_name] for target_name in judged):
        return []
    if others and 2 * sum(verdicts[name] for name in others) <= len(others):
        return []
    most = " and of most other columns" if others else ""
    target_name = ", ".join(repr(name) for name in judged)
    return [
        f"rows look shuffled: neighbouring values of {target_name}{most} resemble each other no more than any two; "
        "if these are returns or noise, ignore this"
    ]


def _alone(column: Array, block: Array) -> bool | None:
    """Whether no value of a column resembles those 1 … 10 rows before; None where there are too few to tell."""
    known = ~np.isnan(column)
    if known.sum() < _LEAST:
        return None
    counts = np.bincount(block, weights=known)
    sums = np.bincount(block, weights=np.where(known, column, 0.0))
    centred = np.where(known, column - (sums / np.maximum(counts, 1))[block], 0.0)
    total = float((centred**2).sum())
    if total <= 0:
        return None
    for lag in range(1, _MOST + 1):
        pairs = (block[lag:] == block[:-lag]) & known[lag:] & known[:-lag]
        number = int(pairs.sum())
        if number < _LEAST // 2:
            break
        correlation = float((centred[lag:] * centred[:-lag])[pairs].sum()) / total * known.sum() / number
        bias = (counts > 0).sum() / known.sum()  # a block's own mean makes its values differ by this much
        if abs(correlation + bias) > (2 if lag == 1 else 3) / np.sqrt(number):
            return False
    return True


def _carried(columns: Array, block: Array) -> Array:
    """Gaps take the last known value of their block; those at its beginning stay."""
    begins = np.append(True, block[1:] != block[:-1])[: len(block)]
    return filled_forward(columns, np.maximum.accumulate(np.where(begins, np.arange(len(block)), 0)))


def _rest(columns: Array, basis: Array) -> Array:
    """What a basis does not explain; zero where that is rounding."""
    rest = columns - basis @ (basis.T @ columns)
    whole = np.sqrt((columns**2).sum(axis=0))
    return np.where(np.sqrt((rest**2).sum(axis=0)) > _ROUNDING * whole, rest, 0.0)


def _correlation(one: Array, other: Array) -> Array:
    """Correlations of the columns of two tables; 0 where one does not vary."""
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    sizes = np.sqrt(np.outer((one**2).sum(axis=0), (other**2).sum(axis=0)))
    return np.where(sizes > 0, one.T @ other / np.where(sizes > 0, sizes, 1.0), 0.0)
