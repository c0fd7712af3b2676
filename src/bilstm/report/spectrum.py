"""One recording as a chart: its spectrum, and above it how sure each character is and when. Knows scores and bands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import softmax

from bilstm.data.columns import Array
from bilstm.data.sound.audio import Sound, sound_blocks
from bilstm.data.text.characters import BLANK
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.formatting import shortened
from bilstm.plotting.charts import Chart, figure
from bilstm.plotting.description import BLUE, ORANGE
from bilstm.report.blocks import Drawing

SECONDS = 12.0  # of a recording that are drawn
COLUMNS = 400  # of its spectrum at most: what a screen shows
FRAME = 0.01  # seconds


def spectrum(estimator: BiLSTMTranscriber, sound: Sound, name: str, scores: Array, text: str) -> Drawing:
    """The chart of one recording.

    Args:
        estimator: that heard it.
        sound: the recording.
        name: what it is called.
        scores: what the network says of it, (T, K).
        text: what was understood.
    """
    encoder = estimator.sound_
    mel = encoder.mel_of(sound_blocks(sound, encoder.rate, name=name))  # (frames, bands)
    frames = int(min(len(mel), SECONDS / FRAME))
    traces = _characters(estimator, scores[: math.ceil(frames / encoder.stack)])
    traces.append(_bands(mel[:frames]))
    layout: dict[str, Any] = {
        "xaxis": {"anchor": "y2"},
        "yaxis": {"domain": [0.55, 1], "range": [0, 1.2], "title": {"text": "probability"}},
        "yaxis2": {"domain": [0, 0.5], "title": {"text": "mel band"}, "automargin": True},
    }
    cut = f" Its first {SECONDS:g} seconds." if frames < len(mel) else ""
    note = f"{name}: “{shortened(text, 200)}”. Above, how sure each character is and when; below, the spectrum.{cut}"
    return Drawing(Chart("When it hears what", note, figure(traces, x="seconds", **layout), height=460))


def _characters(estimator: BiLSTMTranscriber, scores: Array) -> list[dict[str, Any]]:
    """The chance of silence, that of the best character, and the characters where they begin."""
    chances = softmax(scores, axis=1)
    times = np.round((np.arange(len(chances)) + 0.5) * estimator.sound_.step_seconds, 3)
    best = chances.argmax(axis=1)
    starts = np.flatnonzero((best != BLANK) & (np.diff(best, prepend=BLANK) != 0))
    signs = [estimator.characters_.inverse([int(best[start])]) for start in starts]
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": times}
    silence = {**line, "y": np.round(chances[:, BLANK], 3), "name": "nothing"}
    sure = {**line, "y": np.round(chances[:, 1:].max(axis=1), 3), "name": "best character", "line": {"color": BLUE}}
    marks: dict[str, Any] = {"type": "scatter", "mode": "text", "x": times[starts], "y": np.full(len(starts), 1.08)}
    marks |= {"text": [sign if sign.strip() else "␣" for sign in signs], "name": "character", "showlegend": False}
    return [{**silence, "line": {"color": ORANGE, "dash": "dot", "width": 1}}, sure, marks]


def _bands(mel: Array) -> dict[str, Any]:
    every = max(1, math.ceil(len(mel) / COLUMNS))
    seconds = np.round(np.arange(0, len(mel), every) * FRAME, 3)
    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": seconds,
        "y": np.arange(mel.shape[1]),
        "z": np.round(mel[::every].T, 2),
    }
    hover = "%{x} s, band %{y}<extra></extra>"
    return {**heat, "colorscale": "Viridis", "showscale": False, "yaxis": "y2", "hovertemplate": hover}
