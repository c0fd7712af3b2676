"""Recordings and what is said in them, as a Dataset: from tables, folders, files, and what a program holds.

Knows which recordings there are and what they are called. Reads no sound but to tell its rate; makes no features.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from bilstm.data.columns import is_missing
from bilstm.data.dataset import Dataset, joined
from bilstm.data.sound.reader import FORMATS, Sound, no_sound, sound_facts
from bilstm.data.source import ARRAYS, TABLES, Source, check_columns, check_rows, existing_file, has_suffix
from bilstm.data.tables.reader import read_raw
from bilstm.errors import DataError

SOUND, TEXT = "sound", "text"  # the one column of steps and that of targets
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64")
BEST_RATE = 16_000  # Hz: what speech holds above 8 kHz helps nobody to tell words apart
RATES_LOOKED_AT = 1000  # recordings, evenly spaced, that tell the rate of all
BLOCK_BYTES = 1 << 20  # read at a time for a fingerprint


@dataclass(frozen=True, kw_only=True)
class Recordings(Dataset):
    """Recordings that are read when they are needed: a Dataset of one step each, its name, and the sounds beside it.

    ``steps`` has the one column ``sound``, names as text; ``targets`` the one column ``text``, or is None. Though each
    has one step, they are no table: ``is_table`` is false, as it is for words.
    """

    sounds: tuple[Sound, ...]  # what `read_sound` reads, (N,)
    groups: pl.Series | None = None  # what each belongs to, for instance who speaks: a validation part takes whole ones
    per_step: ClassVar[tuple[str, ...]] = (*Dataset.per_step, "sounds", "groups")

    @property
    def is_table(self) -> bool:
        return False

    @property
    def names(self) -> list[str]:
        """What messages call each recording, (N,)."""
        return self.steps.to_series().to_list()

    @property
    def texts_said(self) -> list[str]:
        """What is said in each, (N,); a DataError where that is not known."""
        if self.targets is None:
            raise DataError(f"expected recordings with their texts, got none ({self.source})")
        return self.targets[TEXT].to_list()

    def fingerprint(self) -> str:
        """A digest of the contents of files and arrays, names and texts; a file that is missing counts as none."""
        digest = hashlib.sha256(super().fingerprint().encode())
        for sound in self.sounds:
            digest.update(_digest(sound))
        return digest.hexdigest()


def read_recordings(
    path: str | Path | Sequence[str | Path],
    *,
    text: str = TEXT,
    sound: str = "path",
    group: str | None = None,
    with_targets: bool = True,
) -> Recordings:
    """Read which recordings there are from a table of paths and texts, a folder or a sound file, or a list of these.

    Args:
        path: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file whose paths start in its own folder; a folder, whose
            sound files are taken by their suffixes, also from folders in it, sorted; or a sound file.
        text: the column of texts; an empty field is an empty text.
        sound: the column of paths.
        group: a column of names, of speakers for instance: a validation part takes whole groups.
        with_targets: whether texts are to be read; other sources than tables have none.

    Returns:
        Recordings: ``targets`` has the texts, or is None. Files that are missing are kept: they are found when read.

    Raises:
        DataError: no such file, folder or column; a row without a path; none of the files is there; a list
            of which some have texts and some do not.

    Example:
        >>> data = read_recordings("train.csv", text="sentence")  # doctest: +SKIP
    """
    if isinstance(path, (str, Path)):
        return _read_one(Path(path), text, sound, group, with_targets)
    parts = [_read_one(Path(one), text, sound, group, with_targets, may_be_missing=True) for one in path]
    if not parts:
        raise DataError("expected at least one recording, got an empty list")
    if len({part.targets is None for part in parts}) > 1:
        bare = next(part for part in parts if part.targets is None)
        raise DataError(f"expected texts of all recordings or of none, got some without ({bare.source})")
    whole = joined(parts)
    if len(parts) > 1:
        whole = replace(whole, source=Source(f"{parts[0].source} and {len(parts) - 1} more"))
    _check_some_exist(whole, "check the paths")
    return whole


def from_sounds(X: Any, y: Any = None, rate: int | None = None, source: Source | str = ARRAYS) -> Recordings:
    """Take what a program holds: a list of sounds (see ``read_sound``) or an array (N, T), and what is said in them.

    ``rate`` is that of waveforms that come without one, in Hz. The trap: a file object is read at once into memory.
    """
    source = Source.of(source)
    if isinstance(X, Recordings):
        return X if y is None else replace(X, targets=_texts(_as_list(y), len(X), source))
    is_single = isinstance(X, (str, Path, bytes, bytearray)) or hasattr(X, "read") or getattr(X, "ndim", 2) == 1
    if is_single and getattr(getattr(X, "dtype", None), "kind", "") not in ("O", "U"):
        kind = f"an array of shape {X.shape}" if hasattr(X, "shape") else type(X).__name__
        raise DataError(f"expected a list of sounds, got a single one: {kind} ({source})", hint="put it into a list")
    if isinstance(X, tuple) and len(X) == 2 and np.isscalar(X[1]) and not isinstance(X[1], (str, bytes)):
        raise DataError(f"expected a list of sounds, got one pair ({source})", hint="put it into a list")
    if not hasattr(X, "__iter__") or hasattr(X, "columns"):
        raise DataError(f"expected a list of sounds, got {type(X).__name__} ({source})")
    sounds, names = [], []
    for position, item in enumerate(X):
        called = str(item) if isinstance(item, (str, Path)) else f"{source}[{position}]"
        sounds.append(_held(item, rate, called))
        names.append(called)
    return _recordings(names, sounds, None if y is None else _as_list(y), source)


def most_common_rate(recordings: Recordings) -> int:
    """The sample rate that most recordings have, in Hz, at most 16,000.

    A thousand of them, evenly spaced, are asked; one that cannot be read has no say.
    """
    rates: Counter[int] = Counter()
    first: DataError | None = None
    for row in np.unique(np.linspace(0, len(recordings) - 1, min(len(recordings), RATES_LOOKED_AT)).astype(np.int64)):
        try:
            rates[sound_facts(recordings.sounds[row], name=recordings.names[row]).rate] += 1
        except DataError as error:
            first = first or error
    if first is not None and not rates:
        message = f"expected recordings that can be read, got none ({recordings.source}); the first: {first.message}"
        raise DataError(message, hint=first.hint)
    if not rates:
        raise DataError(f"expected at least one recording, got none ({recordings.source})")
    return min(max(rates, key=lambda rate: (rates[rate], rate)), BEST_RATE)


def _read_one(
    path: Path, text: str, sound: str, group: str | None, with_targets: bool, may_be_missing: bool = False
) -> Recordings:
    source = Source.of_file(path)
    if has_suffix(path, TABLES):
        return _read_table(path, text, sound, group, with_targets)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SOUNDS and file.is_file())
        if not files:
            raise DataError(f"expected sound files ({FORMATS}), got a folder without any ({path})")
        return _recordings([str(file.relative_to(path)) for file in files], list(files), None, source)
    if not may_be_missing:
        existing_file(path, "sound")
    return _recordings([str(path)], [path], None, source)


def _read_table(path: Path, text: str, sound: str, group: str | None, with_targets: bool) -> Recordings:
    frame, source = read_raw(path), Source.of_file(path)
    read_with = {"sound": sound} | ({"text": text} if with_targets else {}) | ({"group": group} if group else {})
    for name in read_with.values():
        check_columns([name], frame.columns, source)
        if frame[name].dtype != pl.String and name != group:
            raise DataError(f"expected text in column {name!r}, got {frame[name].dtype} ({path})")
    check_rows(frame[sound].is_null(), source.at, f"a value of {sound!r} in every row")
    texts = frame[text].fill_null("").to_list() if with_targets else None
    recordings = _recordings(frame[sound].to_list(), [path.parent / file for file in frame[sound]], texts, source)
    groups = frame[group].cast(pl.String) if group else None
    recordings = replace(recordings, read_with=read_with, groups=groups)
    _check_some_exist(recordings, f"paths start in the folder of the table, {path.parent.resolve()}")
    return recordings


def _check_some_exist(recordings: Recordings, hint: str) -> None:
    if not any(Path(str(sound)).is_file() for sound in recordings.sounds):
        got = f"none of {len(recordings)}, the first {recordings.names[0]!r}"
        raise DataError(f"expected sound files at the paths, got {got} ({recordings.source})", hint=hint)


def _recordings(names: list[str], sounds: list[Sound], texts: list[Any] | None, source: Source) -> Recordings:
    return Recordings(
        steps=pl.DataFrame({SOUND: pl.Series(names, dtype=pl.String)}),
        lengths=np.ones(len(names), dtype=np.int64),
        targets=None if texts is None else _texts(texts, len(names), source),
        source=source,
        sounds=tuple(sounds),
    )


def _texts(texts: list[Any], count: int, source: Source) -> pl.DataFrame:
    if len(texts) != count:
        raise DataError(f"expected a text for each of {count} sounds, got {len(texts)} ({source})")
    for position, said in enumerate(texts):
        if not isinstance(said, str):
            got = f"{'a missing one' if is_missing(said) else repr(said)} ({source}, sound {position})"
            raise DataError(f"expected a text of every sound, got {got}", hint="write '' where nothing is said")
    return pl.DataFrame({TEXT: pl.Series(texts, dtype=pl.String)})


def _as_list(y: Any) -> list[Any]:
    if isinstance(y, str) or not hasattr(y, "__iter__"):
        raise DataError(f"expected a list of texts, got {y!r}", hint="put it into a list")
    if hasattr(y, "columns"):
        y = y[y.columns[0]]
    return list(y.tolist()) if hasattr(y, "tolist") else list(y)


def _held(item: Any, rate: int | None, called: str) -> Sound:
    """A sound that can be read again and again, and knows its rate."""
    if isinstance(item, (str, Path, bytes)):
        return item
    if isinstance(item, (bytearray, memoryview)):
        return bytes(item)
    if hasattr(item, "read"):
        item.seek(0) if item.seekable() else None
        return bytes(item.read())
    if isinstance(item, tuple) and len(item) == 2 and np.isscalar(item[1]):
        item, rate = item
    if not hasattr(item, "__array__"):
        raise no_sound(item, called)
    if rate is None:
        hint = "name it: rate=16000, or (waveform, rate)"
        raise DataError(f"expected the rate of a waveform, got none ({called})", hint=hint)
    samples = np.asarray(item)
    return np.array(samples.tolist()) if samples.dtype == object else samples, rate


def _digest(sound: Sound) -> bytes:
    """A digest of what stands in a file, in bytes or in an array."""
    digest = hashlib.sha256()
    if isinstance(sound, tuple):
        waveform, rate = sound
        digest.update(f"{waveform.dtype} {waveform.shape} {rate}".encode())
        for start in range(0, len(waveform), BLOCK_BYTES):
            digest.update(np.ascontiguousarray(waveform[start : start + BLOCK_BYTES]).tobytes())
    elif isinstance(sound, (str, Path)):
        if os.path.isfile(sound):
            with open(sound, "rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
    else:
        digest.update(sound)  # type: ignore[arg-type]
    return digest.digest()
