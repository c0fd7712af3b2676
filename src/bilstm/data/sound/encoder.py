"""Sound to numbers: log-mel energies, independent of microphone and level, stacked; whole or as they arrive.

Knows waveforms and frames. Knows no files, texts or models.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.sound.reader import EXTRA, WINDOW_MS, check_rate
from bilstm.errors import DataError, ParameterError, from_extra

SHIFT_MS = 10
LOWEST = 20.0  # Hz, of the first band, as in Kaldi
HIGHEST = 0.95  # of half the rate, where the last band ends: Kaldi's 7600 of 8000 Hz; above, resampling leaves its mark
PRIOR_FRAMES = 100  # how many frames (a second) the training mean counts for in a recording's running mean
FEWEST_MELS = 3  # that kaldi-native-fbank makes
BLOCK_FRAMES = 1000  # of work at a time; bounds memory, and makes no difference to what comes out
MEL_BREAK, MEL_SCALE = 700.0, 1127.0  # Kaldi's (feat/mel-computations.h)
WAYS = ("running", "utterance")


class SoundEncoder:
    """Encodes waveforms: log-mel energies less a mean of the recording, divided by the deviation in training, stacked.

    .. math:: z_t = \\frac{x_t - m_t}{\\sigma}, \\quad
              m_t = \\frac{n_0 \\mu + \\sum_{s \\le t} x_s}{n_0 + t} \\text{ (running), or }
              m_t = \\frac{1}{T} \\sum_s x_s \\text{ (utterance)}

    x is Kaldi's log-mel filterbank: Povey windows of 25 ms every 10 ms that lie within the recording as a whole,
    without dither; energies below 1.2e-7 (some −90 dBFS) count as that. :math:`n_0` = 100 frames, μ and σ, (mels,), are
    those of the training recordings. ``stack`` frames next to each other form one step; the last step is filled up by
    repeating the last frame. The running mean uses only what has been heard, so that sound can be encoded as it
    arrives.

    Example:
        >>> encoder = SoundEncoder(rate=8000, mels=20, stack=3)
        >>> noise = np.random.default_rng(0).normal(0, 0.1, 8000)
        >>> encoder.fit([encoder.mel(noise)]).transform(noise).shape, encoder.frames_of(8000), encoder.steps(98)
        ((33, 60), 98, 33)
    """

    def __init__(
        self,
        rate: int = 16000,
        mels: int = 40,
        stack: int = 3,
        normalise: str = "running",
        mean: Any = (),
        scale: Any = (),
    ) -> None:
        check_rate(rate)
        if mels < FEWEST_MELS or stack < 1:
            raise ParameterError(f"expected mels from {FEWEST_MELS} and stack from 1, got {mels} and {stack}")
        if normalise not in WAYS:
            raise ParameterError(f"expected normalise as one of {', '.join(WAYS)}, got {normalise!r}")
        self.rate, self.mels, self.stack, self.normalise = int(rate), int(mels), int(stack), normalise
        self.mean, self.scale = np.asarray(mean, dtype=np.float64), np.asarray(scale, dtype=np.float64)
        self.window = self.rate * WINDOW_MS // 1000  # samples of a frame
        self.shift = self.rate * SHIFT_MS // 1000  # samples from one frame to the next
        self.input_size = self.stack * self.mels  # F, numbers of a step
        self.step_seconds = self.stack * SHIFT_MS / 1000  # from one step to the next

    @property
    def mel_edges(self) -> Array:
        """Bounds on the mel scale, (mels + 2,): band k rises from edge k to edge k + 1 and falls to edge k + 2."""
        low, high = mel_scale(LOWEST), mel_scale(HIGHEST * self.rate / 2)
        edges: Array = low + (high - low) * np.arange(self.mels + 2) / (self.mels + 1)
        return edges

    def frames_of(self, samples: int) -> int:
        """T, the frames that so many samples give: as many whole windows as fit."""
        return 0 if samples < self.window else 1 + (samples - self.window) // self.shift

    def steps(self, frames: int) -> int:
        """The steps that T frames give: ⌈T / stack⌉."""
        return -(-frames // self.stack)

    def whole_steps(self, seconds: float) -> int:
        """So many seconds in steps, to the nearest."""
        return round(seconds / self.step_seconds)

    def fit(self, mels: Iterable[Array]) -> Self:
        """Learn μ and σ from the raw log-mel frames (T_i, mels) of training recordings, in one pass."""
        moments = _Moments(self.mels, self.normalise)
        for mel in mels:
            moments.add(self._checked(mel))
        if moments.frames == 0:
            raise DataError(f"expected sound to learn from, got no recording of {WINDOW_MS} ms or more")
        self.mean, self.scale = moments.mean, moments.deviation
        return self

    def mel(self, waveform: Array) -> Array:
        """A waveform (samples,) as raw log-mel energies, float32 (T, mels)."""
        return self.mel_of([waveform])

    def mel_of(self, blocks: Iterable[Array]) -> Array:
        """The same for a waveform that comes in blocks (n,), so that it never lies in memory as a whole."""
        frames = _Frames(self)
        parts = [frames.push(block) for block in blocks]
        return np.concatenate(parts) if parts else np.zeros((0, self.mels), np.float32)

    def normalised(self, mel: Array) -> Array:
        """Raw log-mel energies (T, mels) less the recording's mean, in training deviations, float32."""
        mel = self._checked(mel)
        self._check_fitted()
        if self.normalise == "running":
            running = _RunningMean(self)
            blocks = [running.removed(mel[a : a + BLOCK_FRAMES]) for a in range(0, len(mel), BLOCK_FRAMES)]
            return np.concatenate(blocks) if blocks else np.zeros((0, self.mels), np.float32)
        own = mel.mean(axis=0, dtype=np.float64) if len(mel) else self.mean
        return (mel - own.astype(np.float32)) / self.scale.astype(np.float32)

    def stacked(self, frames: Array) -> Array:
        """Frames (T, mels) as steps (⌈T / stack⌉, stack · mels); the last frame fills up the last step."""
        missing = -len(frames) % self.stack
        whole = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]) if missing else frames
        return whole.reshape(-1, self.input_size)

    def transform(self, waveform: Array) -> Array:
        """A waveform (samples,) as float32 (⌈T / stack⌉, stack · mels); one shorter than a window gives no steps."""
        return self.encoded(self.mel(waveform))

    def encoded(self, mel: Array) -> Array:
        """Raw log-mel energies (T, mels) as float32 (⌈T / stack⌉, stack · mels)."""
        return self.stacked(self.normalised(mel))

    def stream(self) -> FeatureStream:
        """Encode a waveform while it arrives, which ``normalise='utterance'`` cannot."""
        if self.normalise != "running":
            hint = "the mean of a whole recording is not known before its end: train with normalise='running'"
            raise ParameterError(f"expected normalise='running' for a stream, got {self.normalise!r}", hint=hint)
        self._check_fitted()
        return FeatureStream(self)

    def to_json(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("rate", "mels", "stack", "normalise")}
        return named | {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SoundEncoder:
        encoder = cls(**data)
        if not encoder.mean.shape == encoder.scale.shape == (encoder.mels,):
            raise DataError(f"expected {encoder.mels} means and scales of bands, got other numbers of them")
        return encoder

    def _checked(self, mel: Array) -> Array:
        mel = np.asarray(mel)
        if mel.ndim != 2 or mel.shape[1] != self.mels:
            raise DataError(f"expected frames (T, {self.mels}), got an array of shape {mel.shape}")
        return mel

    def _check_fitted(self) -> None:
        if self.mean.shape != (self.mels,):
            raise ParameterError("expected a fitted encoder, got one that has learned nothing", hint="call fit first")


def mel_scale(hertz: Any) -> Any:
    """Where a frequency lies on the scale on which all bands are equally wide."""
    return MEL_SCALE * np.log1p(hertz / MEL_BREAK)


class FeatureStream:
    """Encodes one recording as it arrives: together its steps are what ``transform`` gives for the whole, bit for bit.

    Memory does not grow with the recording. A stream serves one recording: make a new one for the next.
    """

    def __init__(self, encoder: SoundEncoder) -> None:
        self._encoder = encoder
        self._frames = _Frames(encoder)
        self._running = _RunningMean(encoder)
        self._rest = np.zeros((0, encoder.mels), dtype=np.float32)  # frames of a step that is not whole yet
        self._has_ended = False

    def push(self, samples: Array) -> Array:
        """Take further samples (n,), any number of them, and give the steps that are whole now, (m, stack · mels)."""
        if self._has_ended:
            raise ParameterError("expected samples before the end of the stream, got some behind it")
        frames = np.concatenate([self._rest, self._running.removed(self._frames.push(samples))])
        whole = len(frames) // self._encoder.stack * self._encoder.stack
        self._rest = frames[whole:].copy()
        return frames[:whole].reshape(-1, self._encoder.input_size)

    def end(self) -> Array:
        """Give the last step, if frames are left for one: (0 or 1, stack · mels)."""
        self._has_ended = True
        rest, self._rest = self._rest, self._rest[:0]
        return self._encoder.stacked(rest)


class _Frames:
    """Raw log-mel frames of samples that come piece by piece; keeps less than a window of them."""

    def __init__(self, encoder: SoundEncoder) -> None:
        knf = from_extra("kaldi_native_fbank", EXTRA)
        options = knf.FbankOptions()
        options.frame_opts.samp_freq = encoder.rate
        options.frame_opts.frame_length_ms = WINDOW_MS
        options.frame_opts.frame_shift_ms = SHIFT_MS
        options.frame_opts.dither = 0.0
        options.frame_opts.snip_edges = True  # without it the first frames hold samples mirrored at the edge
        options.mel_opts.num_bins = encoder.mels
        options.mel_opts.low_freq = LOWEST
        options.mel_opts.high_freq = HIGHEST * encoder.rate / 2
        self._encoder = encoder
        try:
            self._bank = knf.OnlineFbank(options)
        except ValueError:
            message = f"expected mels that each hold a frequency, got {encoder.mels} at a rate of {encoder.rate} Hz"
            raise ParameterError(message, hint="take fewer: 40 suffice for 8 kHz, 80 for 16 kHz") from None
        self._done = 0

    def push(self, samples: Array) -> Array:
        """New frames, float32 (n, mels)."""
        samples = np.asarray(samples)
        if samples.ndim != 1 or samples.dtype.kind != "f":
            message = f"expected samples (n,) of float in ±1, got {samples.dtype} of shape {samples.shape}"
            raise DataError(message, hint="bilstm.data.sound.reader.read_sound makes them")
        if not np.isfinite(samples).all():
            raise DataError("expected finite samples, got NaN or infinity")
        blocks = [np.zeros((0, self._encoder.mels), dtype=np.float32)]
        size = BLOCK_FRAMES * self._encoder.shift
        for start in range(0, len(samples), size):
            # a list is what the library takes in fastest, in pieces that fit into the cache
            self._bank.accept_waveform(self._encoder.rate, samples[start : start + size].tolist())
            ready = self._bank.num_frames_ready
            if ready > self._done:
                blocks.append(np.stack([self._bank.get_frame(t) for t in range(self._done, ready)]))
                self._bank.pop(ready - self._done)
                self._done = ready
        return np.concatenate(blocks)


class _RunningMean:
    """Takes the running mean from frames that come piece by piece; sums go from frame to frame, in one order."""

    def __init__(self, encoder: SoundEncoder) -> None:
        self._scale, self._prior = encoder.scale, PRIOR_FRAMES * encoder.mean
        self._sum, self._count = np.zeros(encoder.mels), 0

    def removed(self, mel: Array) -> Array:
        """(x − m) / σ of further frames, float32 (n, mels)."""
        sums = np.cumsum(np.concatenate([self._sum[None], mel], dtype=np.float64), axis=0)[1:]
        counts = PRIOR_FRAMES + self._count + np.arange(1, len(mel) + 1)[:, None]
        result = ((mel - (self._prior + sums) / counts) / self._scale).astype(np.float32)
        if len(mel):
            self._sum, self._count = sums[-1], self._count + len(mel)
        return result


class _Moments:
    """Mean of all frames, and deviation around each recording's own mean, from one pass.

    The running mean holds μ, which is known at the end only. With a = x − Σx / (n₀ + t) and b = n₀ / (n₀ + t) the
    square is (a − μ b)², whose three sums are kept. All numbers are shifted by the first recording's mean, which
    changes no deviation and keeps the sums small.
    """

    def __init__(self, mels: int, normalise: str) -> None:
        self.normalise, self.frames = normalise, 0
        self._shift: Array | None = None
        self._sum = np.zeros(mels)
        self._aa, self._ab, self._bb = np.zeros(mels), np.zeros(mels), 0.0

    def add(self, mel: Array) -> None:
        if len(mel) == 0:
            return
        if self._shift is None:
            self._shift = mel.mean(axis=0, dtype=np.float64)
        x = mel - self._shift
        if self.normalise == "running":
            counts = PRIOR_FRAMES + np.arange(1, len(x) + 1)[:, None]
            a, b = x - np.cumsum(x, axis=0) / counts, PRIOR_FRAMES / counts
            self._ab += (a * b).sum(axis=0)
            self._bb += float((b * b).sum())
        else:
            a = x - x.mean(axis=0)
        self._aa += (a * a).sum(axis=0)
        self._sum += x.sum(axis=0)
        self.frames += len(x)

    @property
    def mean(self) -> Array:
        return (0.0 if self._shift is None else self._shift) + self._sum / self.frames

    @property
    def deviation(self) -> Array:
        """σ of each band; 1 for one that is constant up to the rounding of float32."""
        mu = self._sum / self.frames
        variance = (self._aa - 2 * mu * self._ab + mu * mu * self._bb) / self.frames
        deviation = np.sqrt(np.maximum(variance, 0.0))
        return np.where(deviation <= 10 * np.finfo(np.float32).eps * np.abs(self.mean), 1.0, deviation)
