"""What estimators say, as figures of matplotlib. Knows what is drawn; needs none of the libraries that a page needs."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax

from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.series.reader import Series
from bilstm.data.series.windows import cut
from bilstm.data.sound.reader import sound_blocks
from bilstm.data.sound.recordings import Recordings, from_sounds
from bilstm.data.text.encoder import BLANK
from bilstm.errors import BilstmError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.forecasts import Forecasts
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.plotting.description import PALETTE, RED, Axis, HeatMap, Line, Mark, Panel, Span, Texts
from bilstm.plotting.figures import save_figure, to_matplotlib
from bilstm.plotting.panels import confusion_panel, errors_panel, scatter_panel
from bilstm.report.forecasting import FORECAST, Fan, fan, fan_marks
from bilstm.report.transcription import written

__all__ = ["confusion", "forecasts", "predicted_against_true", "predictions", "save_figure", "transcript"]

KNOWN, CAME = "#3b3b3b", RED
MOST_FANS = 12  # forecasts of the past that a panel shows
MOST_PANELS = 6  # series and targets that a figure shows


@singledispatch
def predictions(estimator: BiLSTMEstimator, data: Any) -> Figure:
    """What a fitted estimator says of data, beside the truth where it is known.

    A regressor's first target against the truth; a classifier's confusion, and a tagger's over words; a forecaster's
    steps to come (:func:`forecasts`); a transcriber's characters over the sound (:func:`transcript`).
    """
    raise BilstmError(f"There is no figure of what a {type(estimator).__name__} says.")


@predictions.register
def _(estimator: BiLSTMRegressor, data: Dataset) -> Figure:
    dataset = estimator.with_targets(data)
    truth, predicted = dataset.target_values, estimator.predict(dataset)
    first = (slice(None), 0) if truth.ndim == 2 else slice(None)
    return predicted_against_true(truth[first], predicted[first], estimator.target_names_[0])


@predictions.register
def _(estimator: BiLSTMClassifier, data: Dataset) -> Figure:
    dataset = estimator.with_targets(data)
    truth = dataset.target_values
    estimator.labels_.transform(truth, dataset.source)  # a class the model does not know has no row
    return confusion(truth, estimator.predict(dataset), estimator.classes_)


@predictions.register
def _(estimator: BiLSTMTagger, data: Dataset) -> Figure:
    dataset = estimator.with_targets(data)
    assert dataset.tags is not None
    truth = dataset.tags.to_series().to_numpy().astype(str)
    predicted = np.array([tag for tags in estimator.predict(dataset) for tag in tags])
    return confusion(truth, predicted, estimator.classes_)


@predictions.register
def _(estimator: BiLSTMForecaster, data: Series | None) -> Figure:
    return forecasts(estimator, data)


@predictions.register
def _(estimator: BiLSTMTranscriber, data: Any) -> Figure:
    return transcript(estimator, data.sounds[0] if isinstance(data, Recordings) else data)


def predicted_against_true(truth: Array, predicted: Array, name: str, unit: str = "") -> Figure:
    """Predictions (N,) over true values (N,), and the residuals beside it; ``unit`` as in ``1,000 $``."""
    suffix = f" ({unit})" if unit else ""
    left = replace(scatter_panel(truth, predicted, name, suffix), span=3)
    right = replace(errors_panel(predicted - truth, suffix), span=2)
    return to_matplotlib([[left, right]], size=(10, 4.5))


def confusion(truth: Array, predicted: Array, classes: Array) -> Figure:
    """How often each true class (row) was taken for each (column), of labels (N,), in the order of the classes (K,)."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, predicted, labels=classes)
    size = max(4.0, 0.45 * len(classes) + 2)
    return to_matplotlib([[confusion_panel(counts, [str(label) for label in classes])]], size=(size + 1, size))


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
    places = [(row, k) for row in range(len(coming)) for k in range(len(coming.names))][:MOST_PANELS]
    rows: list[list[Panel]] = []
    for row, k in places:
        fans = [fan(coming, row, k)]
        if earlier is not None:
            made = np.flatnonzero(_owners(shown, estimator.horizon, earlier) == owners[row])
            made = made[::-1][: MOST_FANS * estimator.horizon : estimator.horizon][::-1]
            fans = [*(fan(earlier, int(window), k) for window in made), *fans]
        panel = _series_panel(shown, int(owners[row]), k, fans, max(estimator.history, 4 * estimator.horizon))
        title = "" if coming.series is None else str(coming.series[row])
        rows.append([replace(panel, y=Axis(coming.names[k]), title=title, span=3)])
    if series is None:
        rows[0].append(estimator.history_.panel("linear"))  # a loss of 1 is that of the last value: it moves little
    return to_matplotlib(rows, size=(10, 1.2 + 3.2 * len(rows)), one_legend=True)


def _goes_on(estimator: BiLSTMForecaster, series: Series) -> bool:
    """Whether there is something behind training that can be compared with its forecasts."""
    windows = cut(series, estimator.history, estimator.horizon, at_end=True)
    longest = int((windows.ends - windows.series_starts).max()) + 1
    if longest < estimator.history + estimator.horizon:
        return False
    known, end = series.known_times, estimator.known_.known_times.max()
    return "time" not in estimator.read_with_ or bool((known > end).sum() >= estimator.horizon)


def _owners(series: Series, horizon: int, made: Forecasts) -> Array:
    """Which series each forecast is of, (W,)."""
    starts = series.starts + horizon * np.arange(len(series.starts))  # cut has made each longer by so many steps
    owners: Array = np.searchsorted(starts, made.starts, side="right") - 1
    return owners


def _series_panel(series: Series, owner: int, k: int, fans: list[Fan], shown: int) -> Panel:
    """A series' last steps and the fans of forecasts made in it; what came after the first in another colour."""
    rows = slice(int(series.starts[owner]), int(series.starts[owner] + series.lengths[owner]))
    times, values = series.times[rows].to_numpy(), series.target_matrix[rows, k]
    made = int(np.searchsorted(times, fans[0][0][0]))
    known = slice(max(0, made + 1 - shown), made + 1)
    marks: list[Mark] = [Line(values[known], times[known], name="known", colour=KNOWN)]
    if len(fans) > 1:
        marks.append(Line(values[made:], times[made:], name="what came", colour=CAME))
    marks += fan_marks(fans)
    has_dates = series.times.dtype.is_temporal()
    return Panel(marks, Axis() if has_dates else Axis(series.times.name, scale="whole"))


def transcript(estimator: BiLSTMTranscriber, sound: Any) -> Figure:
    """What a transcriber hears in a recording: the spectrum in bands, and above it the characters as they are heard.

    Args:
        estimator: fitted.
        sound: a path, bytes of a sound file, or a pair (waveform, rate).
    """
    recordings = from_sounds([sound], rate=estimator.sound_.rate)
    result, scores = estimator.transcribe(recordings)[0], estimator.outputs(recordings)[0]
    if scores is None:
        raise BilstmError(f"expected sound with something in it, got {result.note}")
    mel = estimator.sound_.mel_of(sound_blocks(recordings.sounds[0], estimator.sound_.rate))  # (T, bands)
    step, seconds = estimator.sound_.step_seconds, len(scores) * estimator.sound_.step_seconds
    chances, times = softmax(scores, axis=1), (np.arange(len(scores)) + 0.5) * step  # (T, K), (T,)
    lines = [Line(chances[:, BLANK], times, colour="#cccccc", width=1)]
    numbers = sorted(set(chances.argmax(axis=1).tolist()) - {BLANK})
    lines += [Line(chances[:, number], times, colour=colour) for number, colour in zip(numbers, cycle(PALETTE))]
    words = [Span(word.start, word.end, colour=FORECAST) for word in result.words]
    axis, width = Axis("seconds", limits=(0, seconds)), seconds / len(mel)
    spectrum = HeatMap(mel.T, "sound", x=(np.arange(len(mel)) + 0.5) * width, y=np.arange(mel.shape[1]) + 0.5)
    middles = [(word.start + word.end) / 2 for word in result.words]
    said = Texts(middles, [1.0] * len(middles), [word.text for word in result.words], colour="white")
    return to_matplotlib(
        [
            [
                Panel(
                    [*lines, *words, written(estimator, chances)],
                    replace(axis, title=""),
                    Axis("probability", limits=(0, 1.15)),
                    height=2,
                )
            ],
            [Panel([spectrum, said], axis, Axis("mel band"), height=3)],
        ],
        size=(max(6.0, min(2.5 * seconds, 16.0)), 5.0),
        title=result.text or "(nothing)",
    )
