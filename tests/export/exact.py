"""Kaldi's log-mel features in float64, as the definition has them: what those of a graph answer to."""

from __future__ import annotations

import numpy as np


def log_mel(samples, rate: int, mels: int):
    """(samples,) to (T, mels): compute-fbank-feats without dither, frames of 25 ms every 10 ms, 20 Hz to 0.475 rate."""
    window, shift = rate * 25 // 1000, rate // 100
    size = 2 ** int(np.ceil(np.log2(window)))
    count = 0 if len(samples) < window else 1 + (len(samples) - window) // shift
    frames = np.array([samples[k * shift : k * shift + window] for k in range(count)], np.float64).reshape(-1, window)
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.c_[frames[:, :1], frames[:, :-1]]
    frames = frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))) ** 0.85
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    hertz = np.arange(size // 2) * rate / size
    edges = np.linspace(mel(20.0), mel(0.475 * rate), mels + 2)
    bands = [np.interp(mel(hertz), edges[k : k + 3], [0, 1, 0], left=0, right=0) for k in range(mels)]
    return np.log(np.maximum(power[:, : size // 2] @ np.array(bands).T, np.finfo(np.float32).eps))


def mel(hertz):
    return 1127.0 * np.log(1 + hertz / 700.0)


def steps(encoder, samples):
    """What a SoundEncoder makes of samples, in float64."""
    frames = log_mel(samples, encoder.rate, encoder.mels)
    if encoder.normalise == "running":
        count = 100 + np.arange(1, len(frames) + 1)[:, None]
        means = (100 * encoder.mean + np.cumsum(frames, axis=0)) / count
    else:
        means = frames.mean(axis=0) if len(frames) else 0.0
    frames = (frames - means) / encoder.scale
    missing = -len(frames) % encoder.stack
    return np.r_[frames, np.repeat(frames[-1:], missing, axis=0)].reshape(-1, encoder.stack * encoder.mels)
