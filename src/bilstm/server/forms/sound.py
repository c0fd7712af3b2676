"""Recordings as bytes; and what transcribers answer."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.sound.reader import sound_blocks
from bilstm.server.forms.form import Spent
from bilstm.server.forms.numbers import object_schema
from bilstm.server.problems import Refusal, wrong
from bilstm.server.settings import Settings

MULTIPART = "multipart/form-data"
BINARY = "application/octet-stream"
AUDIO = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/aiff")
BLOCK = 1.0  # seconds decoded at a time, so that a short file of hours is cut off early


class Sounds:
    """One sound file a row: WAV, FLAC, OGG, MP3 or AIFF."""

    media: tuple[str, ...] = (*AUDIO, BINARY, MULTIPART)
    schema: dict[str, Any]
    example: Any = None

    def __init__(self, estimator: Any, settings: Settings) -> None:
        self.rate: int = estimator.sound_.rate
        self.settings = settings
        self.schema = {"type": "string", "format": "binary"}

    def count(self, row: Any) -> int:
        """Nothing that is counted as steps."""
        return 0

    def check(self, row: Any, where: str) -> bytes:
        """The bytes of the file."""
        if not isinstance(row, (bytes, bytearray, memoryview)):
            raise wrong(f"expected a sound file, got {type(row).__name__}", where)
        if not row:
            raise wrong("expected a sound file, got no bytes", where)
        return bytes(row)

    def prepare(self, row: bytes, where: str, spent: Spent) -> Array:
        """The waveform (T,), decoded block by block up to what the limits of length and time leave of the request."""
        most = self.settings.seconds
        blocks = []
        for block in sound_blocks(_File(row), self.rate, BLOCK, name=where):
            blocks.append(block)
            spent.seconds += len(block) / self.rate
            if spent.seconds > most:
                hint = "send it in several requests, or raise --max-seconds where the server runs"
                raise Refusal(413, f"expected at most {most:g} seconds of sound a request, got more", hint, field=where)
            if time.monotonic() - spent.since > self.settings.timeout:
                raise Refusal(413, "expected sound that is decoded in time, got too much", field=where)
        return np.concatenate(blocks)

    def size(self, row: Array) -> int:
        """Nothing that is counted as steps."""
        return 0

    def gather(self, rows: Sequence[Array]) -> list[tuple[Array, int]]:
        """Waveforms with their rate."""
        return [(row, self.rate) for row in rows]


class Transcription:
    """Text, words with their times, confidence, and what is odd about the recording."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        chance = {"type": "number", "minimum": 0, "maximum": 1}
        second = {"type": "number", "minimum": 0, "description": "In seconds."}
        word = object_schema({"text": {"type": "string"}, "start": second, "end": second, "confidence": chance})
        self.schema = object_schema(
            {
                "text": {"type": "string"},
                "confidence": chance,
                "words": {"type": "array", "items": word},
                "note": {"type": "string", "nullable": True, "description": "What is wrong with the recording."},
            }
        )

    def predictions(self, data: list[tuple[Array, int]]) -> list[dict[str, Any]]:
        """``{"text", "confidence", "words", "note"}`` of each recording."""
        found = []
        for transcript in self.estimator.transcribe(data):
            told = asdict(transcript)
            del told["alternatives"]
            told["confidence"] = _share(told["confidence"])
            told["words"] = [word._asdict() | {"confidence": _share(word.confidence)} for word in transcript.words]
            found.append(told)
        return found


class _File(io.BytesIO):
    """The bytes of a file; a damaged header that leads before their beginning leads there, and nothing is printed."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return super().seek(0)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)
