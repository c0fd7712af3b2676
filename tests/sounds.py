"""Sounds for tests: sines, noise, and files of every format in memory."""

from __future__ import annotations

import io

import numpy as np
import soundfile

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "wav8": ("WAV", "PCM_U8"),
    "wavfloat": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
}


def sine(frequency, rate, seconds=1.0, level=0.3):
    return level * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def noise(samples, level=0.1, seed=0):
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


def strongest(samples, rate):
    """The frequency of a sine, or of a sound's most power, in Hz: the peak of its spectrum."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 16 * len(samples)))
    return spectrum.argmax() * rate / (16 * len(samples))


def file_of(samples, rate, kind="wav"):
    """A sound file as bytes."""
    stream = io.BytesIO()
    container, subtype = FORMATS[kind]
    soundfile.write(stream, samples, rate, format=container, subtype=subtype)
    return stream.getvalue()
