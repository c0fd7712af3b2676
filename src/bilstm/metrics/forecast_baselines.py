"""What a forecast must beat: last value, drift, seasonal naive, a linear map. Knows values and rows; no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bilstm.data.columns import Array
from bilstm.errors import DataError, ParameterError

# penalties as multiples of the mean eigenvalue of the Gram matrix: from none to speak of, past any use, to infinity,
# where the map is the last value
_PENALTIES = np.append(10.0 ** np.arange(-7.0, 4.5, 0.5), np.inf)
# 16 MiB of float64: what the windows of one chunk take, whatever the number of windows
_CHUNK = 2**21


def naive_forecasts(values: Array, ends: Array, starts: Array, horizon: int, season: int | None) -> dict[str, Array]:
    """Forecasts (W, h, K) that need no fitting: ``last value``, ``drift`` and, with a season, ``seasonal naive``.

    .. math:: \\hat y_{n+k} = y_n, \\qquad \\hat y_{n+k} = y_n + k \\, \\frac{y_n - y_1}{n - 1},
        \\qquad \\hat y_{n+k} = y_{n + k - m \\lceil k / m \\rceil}

    Values are all steps of all series one below the other, (S, K); ``ends`` are the rows of the last known step of each
    window, ``starts`` those of the first step of its series, (W,); m is the season in steps. A missing value (NaN) is
    the last known one of its series, or else the first known one, if it is not after the origin; otherwise the forecast
    is NaN. Where a series is not yet a season old, seasonal naive is the last value.

    Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.2.
    """
    if horizon < 1 or (season is not None and season < 1):
        raise ParameterError(f"expected horizon and season of at least 1, got {horizon} and {season}")
    if len(ends) and not (starts.min() >= 0 and (starts <= ends).all() and ends.max() < len(values)):
        raise DataError(f"expected windows that end in their series and within {len(values)} rows, got others")
    known = _Known(values)
    steps = np.arange(1, horizon + 1)
    last, first = known.at(ends, starts, ends), known.at(starts, starts, ends)
    slope = (last - first) / np.maximum(ends - starts, 1)[:, None]
    result = {
        "last value": np.repeat(last[:, None], horizon, axis=1),
        "drift": last[:, None] + steps[:, None] * slope[:, None],
    }
    if season is not None:
        rows = ends[:, None] + steps - season * -(-steps // season)
        rows = np.where(rows < starts[:, None], ends[:, None], rows)  # (W, h)
        bounds = np.repeat(starts, horizon), np.repeat(ends, horizon)
        result["seasonal naive"] = known.at(rows.ravel(), *bounds).reshape(len(ends), horizon, -1)
    return result


@dataclass(frozen=True, eq=False)
class LinearBaseline:
    """Ridge regression from a target's last H = ``history`` values to its next ``horizon``; all targets share one map.

    .. math:: \\hat y_{n+k} = y_n + \\sum_i w_{ik} (y_{n-H+i} - y_n) + s \\, b_k

    The window's last value is subtracted first, so that weights of zero are the last value.

    Source: Hoerl and Kennard 1970; the subtraction as in NLinear, Zeng, Chen, Zhang and Xu 2023.
    """

    weights: Array  # w and below them b, (history + 1, horizon); b in units of scale
    penalty: float  # of the ridge on windows divided by scale, as scikit-learn counts it; infinite: the last value
    scale: Array  # what divides each target before it shares the map, (K,)

    @classmethod
    def fit(
        cls,
        values: Array,
        ends: Array,
        history: int,
        horizon: int,
        *,
        validation_ends: Array | None = None,
        scale: Array | None = None,
    ) -> LinearBaseline:
        """Fit to the windows, each of one series, whose last known rows are ``ends``, (W,), in bounded memory.

        The mean squared error of the windows at ``validation_ends`` chooses the penalty; without them the last tenth of
        ``ends`` is held out for that, and the map then fitted to all of them. ``scale``, (K,), is by default the
        standard deviation of each target over the rows of the training windows.

        The trap: a window's gaps are filled from within the window, and windows whose next values are not all known are
        left out; where nothing remains to fit, the map is the last value.
        """
        if history < 1 or horizon < 1:
            raise ParameterError(f"expected history and horizon of at least 1, got {history} and {horizon}")
        ends = np.sort(ends)
        if scale is None:
            scale = _spread(values, ends, history, horizon)
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        if validation_ends is None:
            held = ends[len(ends) - len(ends) // 10 :]
            early = ends[ends + horizon < held[0]] if len(held) else ends[:0]  # no value is in both parts
            before = _Moments.of(values, early, history, horizon, scale)
            after = _Moments.of(values, held, history, horizon, scale)
            between = ends[len(early) : len(ends) - len(held)]
            whole = before + after + _Moments.of(values, between, history, horizon, scale)
        else:
            whole = before = _Moments.of(values, ends, history, horizon, scale)
            after = _Moments.of(values, validation_ends, history, horizon, scale)
        best = np.inf
        if before.count and after.count:
            errors = [after.squared_error(weights) for weights in before.ridges(_PENALTIES)]
            # of equal errors the larger penalty: what is not shown to help is left at the last value
            best = float(_PENALTIES[len(errors) - 1 - int(np.argmin(errors[::-1]))])
        weights = next(whole.ridges(np.array([best])))
        return cls(weights, float(best * whole.unit) if np.isfinite(best) else np.inf, scale)

    def predict(self, values: Array, ends: Array) -> Array:
        """The next steps after each of ``ends``, (W, horizon, K), in the units of values.

        Only the ``history`` rows up to each are read, unless all of them are missing: then the last known row before.
        """
        if values.shape[1] != len(self.scale):
            raise DataError(f"expected {len(self.scale)} targets, got {values.shape[1]}")
        size, horizon = self.weights.shape
        result = np.empty((len(ends), horizon, values.shape[1]))
        empty = _Known(values).at(ends, np.zeros_like(ends), ends) if np.isnan(values).any() else None
        done = 0
        for windows, _ in _windows(values, ends, size - 1, 0):  # (w, K, history)
            part = slice(done, done + len(windows))
            if empty is not None:
                windows = np.where(np.isnan(windows), empty[part, :, None], windows)
            last = windows[..., -1:]
            step = (windows - last) @ self.weights[:-1] + self.scale[:, None] * self.weights[-1]
            result[part] = (last + step).transpose(0, 2, 1)
            done += len(windows)
        return result


class _Known:
    """The last known value at or before any row of a series; before the first known one, that, if it is past."""

    def __init__(self, values: Array) -> None:
        rows = np.arange(len(values))[:, None]
        known = ~np.isnan(values)
        self.values = values
        self.before = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
        self.after = np.minimum.accumulate(np.where(known, rows, len(values) - 1)[::-1], axis=0)[::-1]

    def at(self, rows: Array, starts: Array, ends: Array) -> Array:
        """(N, K) for rows (N,) of the series that start at starts; NaN where nothing is known up to ends, (N,)."""
        before, after = self.before[rows], self.after[starts]
        places = np.where(before < starts[:, None], after, before)
        return np.where(places > ends[:, None], np.nan, np.take_along_axis(self.values, places, axis=0))


@dataclass(frozen=True)
class _Moments:
    """Sums over windows that a ridge needs: their number, and the products of inputs (with a one) and outputs."""

    count: int
    inputs: Array  # (history + 1, history + 1)
    mixed: Array  # (history + 1, horizon)
    outputs: float

    @classmethod
    def of(cls, values: Array, ends: Array, history: int, horizon: int, scale: Array) -> _Moments:
        count, outputs = 0, 0.0
        inputs, mixed = np.zeros((history + 1, history + 1)), np.zeros((history + 1, horizon))
        for windows, following in _windows(values, ends, history, horizon):
            last = windows[..., -1:]
            x = ((windows - last) / scale[:, None]).reshape(-1, history)
            y = ((following - last) / scale[:, None]).reshape(-1, horizon)
            whole = np.isfinite(y).all(axis=1) & np.isfinite(x).all(axis=1)
            x, y = np.column_stack([x, np.ones(len(x))])[whole], y[whole]
            count += len(x)
            inputs += x.T @ x
            mixed += x.T @ y
            outputs += float((y * y).sum())
        return cls(count, inputs, mixed, outputs)

    def __add__(self, other: _Moments) -> _Moments:
        sums = (self.inputs + other.inputs, self.mixed + other.mixed, self.outputs + other.outputs)
        return _Moments(self.count + other.count, *sums)

    def _centred(self) -> tuple[Array, Array, Array, Array]:
        """Means of inputs and outputs; their products about the means."""
        count = max(self.count, 1)
        mean_x, mean_y = self.inputs[-1, :-1] / count, self.mixed[-1] / count
        gram = self.inputs[:-1, :-1] - count * np.outer(mean_x, mean_x)
        return mean_x, mean_y, gram, self.mixed[:-1] - count * np.outer(mean_x, mean_y)

    @property
    def unit(self) -> float:
        """The mean eigenvalue of the Gram matrix: what penalties are multiples of."""
        return float(np.trace(self._centred()[2])) / (len(self.inputs) - 1) or 1.0

    def ridges(self, penalties: Array) -> Iterator[Array]:
        """The weights of each penalty, by one eigendecomposition; the intercept is free, except at infinity."""
        mean_x, mean_y, gram, mixed = self._centred()
        eigenvalues, vectors = np.linalg.eigh(gram)
        turned = vectors.T @ mixed
        for penalty in penalties * self.unit:
            if not np.isfinite(penalty):
                yield np.zeros_like(self.mixed)
                continue
            slopes = vectors @ (turned / (np.maximum(eigenvalues, 0.0) + penalty)[:, None])
            yield np.vstack([slopes, mean_y - mean_x @ slopes])

    def squared_error(self, weights: Array) -> float:
        """The sum over these windows of squared errors of a map."""
        return self.outputs + float((weights * (self.inputs @ weights - 2 * self.mixed)).sum())


def _windows(values: Array, ends: Array, history: int, horizon: int) -> Iterator[tuple[Array, Array]]:
    """Chunks of windows (w, K, history) with gaps filled from within, and what follows (w, K, horizon) as it is."""
    if len(ends) and not history - 1 <= ends.min() <= ends.max() < len(values):
        raise DataError(
            f"expected windows of {history} rows within {len(values)} rows, "
            f"got ends from {int(ends.min())} to {int(ends.max())}"
        )
    padded = np.concatenate([values, np.full((horizon, values.shape[1]), np.nan)])
    size = history + horizon
    if len(padded) < size:
        return
    views = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)
    many = max(1, _CHUNK // (size * values.shape[1]))
    for first in range(0, len(ends), many):
        chunk = views[ends[first : first + many] - history + 1]
        yield _filled(chunk[..., :history]), chunk[..., history:]


def _filled(windows: Array) -> Array:
    """Gaps take the last known value of the window; those at its beginning its first known one."""
    known = ~np.isnan(windows)
    if known.all():
        return windows
    places = np.maximum.accumulate(np.where(known, np.arange(windows.shape[-1]), -1), axis=-1)
    places = np.where(places < 0, known.argmax(axis=-1)[..., None], places)
    return np.take_along_axis(windows, places, axis=-1)


def _spread(values: Array, ends: Array, history: int, horizon: int) -> Array:
    """The standard deviation of each target over the rows that the windows cover."""
    change = np.zeros(len(values) + 1, dtype=np.int64)
    np.add.at(change, np.maximum(ends - history + 1, 0), 1)
    np.add.at(change, np.minimum(ends + horizon + 1, len(values)), -1)
    rows = values[np.cumsum(change)[:-1] > 0]
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.sum(rows, axis=0, where=known) / count
    spread: Array = np.sqrt(np.sum((rows - mean) ** 2, axis=0, where=known) / count)
    return spread
