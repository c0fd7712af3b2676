"""Samples of sound to what a SpeechNetwork reads, as ONNX operators: Kaldi's log-mel energies, the mean, the stacking.

Knows the arithmetic of data/filterbank.py; in float64, so that it is nearer to the exact numbers than float32 is.
"""

from __future__ import annotations

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.sound.encoder import PRIOR_FRAMES, SoundEncoder, mel_scale
from bilstm.export.graph import Graph
from bilstm.export.layers import rows

# Kaldi's constants (feat/feature-window.h)
PREEMPHASIS = 0.97
POVEY = 0.85  # its window is Hann's to this power
FLOOR = float(np.finfo(np.float32).eps)  # of an energy


def steps(graph: Graph, encoder: SoundEncoder, samples: str, lengths: str) -> tuple[str, str]:
    """Samples (B, S ≥ a window) of ``lengths`` (B,) to steps (B, T, F), and how many of them each row has, (B,)."""
    sound = rows(graph, lengths, samples)
    samples = graph.add("Where", sound.inside, samples, graph.constant("zero", np.float32(0)), name="sound")
    frames = _frames_of(graph, encoder, sound.lengths)  # (B,)
    mel = log_mel(graph, encoder, samples)  # (B, T, mels)
    scale = graph.constant("mel_scale", encoder.scale)
    values = graph.add("Div", graph.add("Sub", mel, _mean(graph, encoder, mel, frames)), scale, name="normalised")
    return _stacked(graph, encoder, graph.cast(values, "float"), frames)


def log_mel(graph: Graph, encoder: SoundEncoder, samples: str) -> str:
    """Samples (B, S) to the log-mel energies of every whole window, (B, T, mels) double."""
    window, size = encoder.window, fft_size(encoder)
    number = graph.range(_frames_of(graph, encoder, graph.size(samples, 1)))
    begins = graph.add("Mul", number, graph.whole(encoder.shift))
    places = graph.add("Add", graph.unsqueeze(begins, 1), graph.constant("places_in_window", np.arange(window)))
    frames = graph.add("Gather", graph.cast(samples, "double"), places, axis=1, name="windows")  # (B, T, W)
    frames = graph.add("Sub", frames, graph.add("ReduceMean", frames, axes=[2]), name="without_offset")
    before = graph.add("Concat", graph.part(frames, 2, 0, 1), graph.part(frames, 2, 0, -1), axis=2)
    share = graph.constant("preemphasis", np.float64(PREEMPHASIS))
    frames = graph.add("Sub", frames, graph.add("Mul", before, share), name="emphasised")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))
    frames = graph.add("Mul", frames, graph.constant("povey_window", hann**POVEY))
    frames = graph.add("Pad", frames, graph.integers(0, 0, 0, 0, 0, size - window))
    flat = graph.reshape(frames, -1, size, 1)  # (B·T, N, 1)
    waves = graph.add("DFT", flat, axis=1, onesided=1, name="spectrum")  # (B·T, N/2 + 1, 2)
    power = graph.part(graph.add("ReduceSumSquare", waves, axes=[2], keepdims=0, name="power"), 1, 0, size // 2)
    energy = graph.add("MatMul", power, graph.constant("mel_weights", mel_weights(encoder)))
    energy = graph.add("Max", energy, graph.constant("floor", np.float64(FLOOR)))
    shape = graph.add("Concat", graph.size(samples, 0), graph.integers(-1, encoder.mels), axis=0)
    return graph.add("Reshape", graph.add("Log", energy), shape, name="log_mel")


def _frames_of(graph: Graph, encoder: SoundEncoder, samples: str) -> str:
    """How many whole windows so many samples hold, (B,)."""
    over = graph.add("Sub", samples, graph.whole(encoder.window))
    is_short = graph.add("Less", over, graph.whole(0))
    count = graph.add("Add", graph.add("Div", over, graph.whole(encoder.shift)), graph.whole(1))
    return graph.add("Where", is_short, graph.whole(0), count, name="frames")


def _mean(graph: Graph, encoder: SoundEncoder, mel: str, frames: str) -> str:
    """What is taken off: the mean so far (B, T, mels), or that of the recording (B, 1, mels)."""
    number = graph.range(graph.size(mel, 1))  # of each frame
    if encoder.normalise == "running":
        prior = graph.constant("mel_prior", PRIOR_FRAMES * encoder.mean)
        total = graph.add("Add", graph.add("CumSum", mel, graph.whole(1)), prior)
        count = graph.add("Add", number, graph.whole(PRIOR_FRAMES + 1))
        return graph.add("Div", total, graph.cast(graph.unsqueeze(count, 1), "double"), name="running_mean")
    inside = graph.unsqueeze(graph.add("Less", number, graph.unsqueeze(frames, 1)), 2)
    kept = graph.add("Where", inside, mel, graph.constant("zero_double", np.float64(0)))
    total = graph.add("ReduceSum", kept, graph.integers(1))
    count = graph.cast(graph.add("Max", frames, graph.whole(1)), "double")
    return graph.add("Div", total, graph.unsqueeze(count, 1, 2), name="mean_of_recording")


def _stacked(graph: Graph, encoder: SoundEncoder, frames: str, count: str) -> tuple[str, str]:
    """Frames (B, T, mels) to steps of ``stack`` frames; a row's last frame fills up its last step."""
    if encoder.stack == 1:
        return frames, count
    stack, more = graph.whole(encoder.stack), graph.whole(encoder.stack - 1)
    longest = graph.add("Div", graph.add("Add", graph.size(frames, 1), more), stack)
    place = graph.range(graph.add("Mul", longest, stack))
    last = graph.add("Max", graph.add("Sub", count, graph.whole(1)), graph.whole(0))
    taken = graph.add("Min", place, graph.unsqueeze(last, 1))  # (B, T')
    filled = graph.add("GatherND", frames, graph.unsqueeze(taken, 2), batch_dims=1)  # (B, T', mels)
    steps = graph.reshape(filled, 0, -1, encoder.input_size, name="steps_of_frames")
    return steps, graph.add("Div", graph.add("Add", count, more), stack, name="steps_of_rows")


def mel_weights(encoder: SoundEncoder) -> Array:
    """How much of each frequency each band holds, (bins, mels): triangles on the mel scale."""
    bins, edges = fft_size(encoder) // 2, encoder.mel_edges
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    here = mel_scale(np.arange(bins) * encoder.rate / fft_size(encoder))[:, None]
    rising, falling = (here - left) / (middle - left), (right - here) / (right - middle)
    weights: Array = np.maximum(0, np.minimum(rising, falling))
    return weights


def fft_size(encoder: SoundEncoder) -> int:
    """The power of two that holds a window."""
    return 1 << (encoder.window - 1).bit_length()
