"""Numbers to matplotlib figures. Knows how a figure looks; computes nothing that a report would print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import softmax

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import cut
from bilstm.data.sound.audio import sound_blocks
from bilstm.data.sound.recordings import from_sounds
from bilstm.data.text.characters import BLANK
from bilstm.errors import BilstmError
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import INTERVALS, Forecasts
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.plotting.charts import BLUE, RED

KNOWN, CAME, FORECAST = "#3b3b3b", RED, BLUE
MOST_FANS = 12  # forecasts of the past that a panel shows
MOST_PANELS = 6  # series and targets that a figure shows


def predictions(estimator: BiLSTMRegressor | BiLSTMClassifier | BiLSTMTagger, dataset: Dataset) -> Figure:
    """What a fitted estimator says of data with targets, drawn as its task wants it.

    A regressor's first target against the truth; a classifier's confusion, a tagger's over words.
    """
    dataset = estimator.with_targets(dataset)
    if isinstance(estimator, BiLSTMTagger):
        return confusion(
            _flat_tags(dataset),
            np.array([tag for tags in estimator.predict(dataset) for tag in tags]),
            estimator.classes_,
        )
    truth = dataset.target_values
    if isinstance(estimator, BiLSTMClassifier):
        estimator.labels_.transform(truth, dataset.source)  # a class the model does not know has no row
        return confusion(truth, estimator.predict(dataset), estimator.classes_)
    predicted = estimator.predict(dataset)
    first = (slice(None), 0) if truth.ndim == 2 else slice(None)
    return predicted_against_true(truth[first], predicted[first], estimator.target_names_[0])


def _flat_tags(dataset: Dataset) -> Array:
    assert dataset.tags is not None
    return dataset.tags.to_series().to_numpy().astype(str)


def predicted_against_true(truth: Array, predicted: Array, name: str, unit: str = "") -> Figure:
    """Predictions over true values with the line of perfection, and the residuals beside it.

    Args:
        truth: (N,), in the caller's units.
        predicted: (N,).
        name: what the numbers are.
        unit: of the axes, for instance ``1,000 $``.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    low, high = float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))
    left.plot([low, high], [low, high], color="0.6", linewidth=1, label="perfect")
    left.scatter(truth, predicted, s=16, alpha=0.7, color="C0")
    suffix = f" ({unit})" if unit else ""
    left.set_xlabel(f"true {name}{suffix}")
    left.set_ylabel(f"predicted {name}{suffix}")
    left.legend()
    right.hist(predicted - truth, bins=min(30, max(5, len(truth) // 4)), color="C0", alpha=0.7)
    right.axvline(0, color="0.6", linewidth=1)
    right.set_xlabel(f"predicted − true{suffix}")
    right.set_ylabel("rows")
    return figure


def confusion(truth: Array, predicted: Array, classes: Array) -> Figure:
    """How often each true class (row) was taken for each class (column).

    Args:
        truth: labels (N,).
        predicted: labels (N,).
        classes: the labels in the order of the axes, (K,).
    """
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, predicted, labels=classes)
    size = max(4.0, 0.45 * len(classes) + 2)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        _write_counts(axes, counts, shares)
    names = [str(label) for label in classes]
    axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def _write_counts(axes: Axes, counts: Array, shares: Array) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)


def forecasts(estimator: BiLSTMForecaster, series: Series | None = None) -> Figure:
    """The end of series, what comes after it and how sure that is; a panel for each of the first series and targets.

    Args:
        estimator: fitted.
        series: as of :func:`bilstm.read_series`. Where it goes on behind training, forecasts of what came are drawn
            too, each made with what was known then. None draws the steps after training, and the loss curves.
    """
    shown = estimator.known_ if series is None else series
    coming = estimator.forecasts_of(cut(shown, estimator.history, estimator.horizon, at_end=True))
    earlier = None if series is None or not _goes_on(estimator, series) else estimator.forecasts(series)
    owners = _owners(shown, estimator.horizon, coming)
    panels = [(row, k) for row in range(len(coming)) for k in range(len(coming.names))][:MOST_PANELS]
    figure = Figure(figsize=(10, 1.2 + 3.2 * len(panels)), layout="constrained")
    grid = figure.add_gridspec(len(panels), 1 if series is not None else 2, width_ratios=[3, 1][: 1 + (series is None)])
    for place, (row, k) in enumerate(panels):
        axes = figure.add_subplot(grid[place, 0])
        fans = [_fan(coming, row, k)]
        if earlier is not None:
            rows = np.flatnonzero(_owners(shown, estimator.horizon, earlier) == owners[row])
            rows = rows[::-1][: MOST_FANS * estimator.horizon : estimator.horizon][::-1]
            fans = [*(_fan(earlier, int(made), k) for made in rows), *fans]
        _draw_series(axes, shown, int(owners[row]), k, fans, estimator)
        axes.set_ylabel(coming.names[k])
        if coming.series is not None:
            axes.set_title(str(coming.series[row]), loc="left", fontsize=10)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=5, frameon=False)
    if series is None:
        axes = figure.add_subplot(grid[0, 1])
        estimator.history_.draw(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_yscale("linear")  # a loss of 1 is that of the last value: it moves little
    return figure


def _goes_on(estimator: BiLSTMForecaster, series: Series) -> bool:
    """Whether there is something behind training that can be compared with its forecasts."""
    windows = cut(series, estimator.history, estimator.horizon, at_end=True)
    longest = int((windows.last_rows - windows.series_starts).max()) + 1
    if longest < estimator.history + estimator.horizon:
        return False
    known, end = series.known_times, estimator.known_.known_times.max()
    return "time" not in estimator.read_with_ or bool((known > end).sum() >= estimator.horizon)


def _owners(series: Series, horizon: int, found: Forecasts) -> Array:
    """Which series each forecast is of, (W,)."""
    starts = series.starts + horizon * np.arange(len(series.starts))  # cut has made each longer by so many steps
    owners: Array = np.searchsorted(starts, found.starts, side="right") - 1
    return owners


def _fan(found: Forecasts, row: int, k: int) -> tuple[Array, Array, Array, Array]:
    """One forecast from its last known value on: times (h + 1,), values, lower and upper bounds (intervals, h + 1)."""
    steps = slice(row * found.horizon, (row + 1) * found.horizon)
    times = np.concatenate([found.origins.slice(row, 1).to_numpy(), found.times[steps].to_numpy()])
    last = found.last[row, k]
    bounds = [
        np.concatenate([np.full((len(side), 1), last), side[:, row, :, k]], axis=1)
        for side in (found.lows, found.highs)
    ]
    return times, np.append(last, found.forecast[row, :, k]), bounds[0], bounds[1]


def _draw_series(axes: Axes, series: Series, owner: int, k: int, fans: list[Any], estimator: BiLSTMForecaster) -> None:
    """A series' last steps and the fans of forecasts made in it; what came after the first in another colour."""
    rows = slice(int(series.starts[owner]), int(series.starts[owner] + series.lengths[owner]))
    times, values = series.times[rows].to_numpy(), series.goal_values[rows, k]
    made = int(np.searchsorted(times, fans[0][0][0]))
    start = max(0, made + 1 - max(estimator.history, 4 * estimator.horizon))
    axes.plot(times[start : made + 1], values[start : made + 1], color=KNOWN, linewidth=1.3, label="known")
    if len(fans) > 1:
        axes.plot(times[made:], values[made:], color=CAME, linewidth=1.3, label="what came")
    for number, (when, middle, lows, highs) in enumerate(fans):
        for percent, low, high, alpha in zip(INTERVALS[::-1], lows[::-1], highs[::-1], (0.16, 0.28), strict=False):
            label = f"{percent} % interval" if number == 0 else None
            axes.fill_between(when, low, high, color=FORECAST, alpha=alpha, linewidth=0, label=label)
        marker = "o" if len(when) < 16 else ""
        label = None if number else "forecast"
        axes.plot(when, middle, color=FORECAST, linewidth=1.5, label=label, marker=marker, markersize=2.5)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    if series.times.dtype.is_temporal():
        locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
        axes.set_xlabel(series.times.name)


def transcript(estimator: BiLSTMTranscriber, sound: Any) -> Figure:
    """What a transcriber hears in a recording: the spectrum in bands, and above it the characters as they are heard.

    Args:
        estimator: fitted.
        sound: a path, bytes of a sound file, or a pair (waveform, rate).
    """
    recordings = from_sounds([sound], rate=estimator.sound_.rate)
    found, scores = estimator.transcribe(recordings)[0], estimator.outputs(recordings)[0]
    if scores is None:
        raise BilstmError(f"expected sound with something in it, got {found.note}")
    mel = estimator.sound_.mel_of(sound_blocks(recordings.sounds[0], estimator.sound_.rate))  # (T, bands)
    seconds = len(scores) * estimator.sound_.step_seconds
    chances = softmax(scores, axis=1)  # (T, K)
    figure = Figure(figsize=(max(6.0, min(2.5 * seconds, 16.0)), 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    times = (np.arange(len(scores)) + 0.5) * estimator.sound_.step_seconds
    above.plot(times, chances[:, BLANK], color="0.8", linewidth=1)
    best = chances.argmax(axis=1)
    for number in sorted(set(best.tolist()) - {BLANK}):
        above.plot(times, chances[:, number], linewidth=1.5)
    for start in np.flatnonzero((best != BLANK) & (np.diff(best, prepend=BLANK) != 0)):
        above.annotate(estimator.characters_.inverse([best[start]]), (times[start], 1.03), ha="center")
    above.set(ylim=(0, 1.15), ylabel="probability", title=found.text or "(nothing)")
    below.imshow(mel.T, origin="lower", aspect="auto", extent=(0, seconds, 0, mel.shape[1]), cmap="magma")
    for word in found.words:
        for axes in (above, below):
            axes.axvspan(word.start, word.end, color=FORECAST, alpha=0.15 if axes is above else 0.0)
        below.annotate(word.text, ((word.start + word.end) / 2, 1), ha="center", va="bottom", color="white", fontsize=9)
    below.set(xlabel="seconds", ylabel="mel band")
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file whose ending says the format: png, svg, pdf.

    Raises:
        BilstmError: the ending is not a format, or the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise BilstmError(f"cannot write the figure {path}: {error.strerror}") from None
    except ValueError as error:
        text = str(error).splitlines()[0]
        raise BilstmError(f"cannot write the figure {path}: {text}", hint="end the name in .png") from None
