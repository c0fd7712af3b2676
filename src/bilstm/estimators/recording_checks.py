"""Looks at every recording and text before anything is learned of them, and says which cannot be used, and why.

Knows what makes a recording useless; does not know networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.sound.reader import Fault, fault_of, sound_blocks
from bilstm.data.sound.recordings import Recordings
from bilstm.data.sound.utterances import SAME, SoundCache, keep, key_of
from bilstm.data.source import Source
from bilstm.data.text.encoder import plain
from bilstm.errors import DataError, warn
from bilstm.nn.ctc.functions import needed_steps
from bilstm.training.progress import counted

LONGEST = 60.0  # seconds of a recording that training takes: all of its steps are in memory at once
MOST_LINES = 20  # of a report; the rest is counted


class Finding(NamedTuple):
    """What is wrong with one recording, and whether that makes it useless."""

    row: int
    name: str
    what: str
    is_useless: bool


def extract_features(
    recordings: Recordings, encoder: SoundEncoder, features: SoundCache, verbose: int = 0
) -> list[Finding]:
    """Read every recording once and keep its features; say which cannot be read, are silent, too short or clipped."""
    findings = []
    names = recordings.names
    for row in counted(range(len(recordings)), "reading", verbose):
        name, sound = names[row], recordings.sounds[row]
        faults: list[Fault | None] = []
        try:
            mel = encoder.mel_of(_watched(sound_blocks(sound, encoder.rate, name=name), encoder.rate, faults))
        except DataError as error:
            findings.append(Finding(row, name, error.message, True))
            continue
        fault = _worst(faults)
        if fault is not None:
            findings.append(Finding(row, name, fault.words, fault.is_unusable))
        if fault is None or not fault.is_unusable:
            keep(features, (key_of(sound), SAME), mel)
    return findings


def _watched(blocks: Iterable[Array], rate: int, faults: list[Fault | None]) -> Iterator[Array]:
    """The blocks of a recording as they pass, with what is wrong with each."""
    for block in blocks:
        faults.append(fault_of(block, rate))
        yield block


def _worst(faults: Sequence[Fault | None]) -> Fault | None:
    """What is wrong with a recording: useless if all of its blocks are, else the first thing that may be bad."""
    if faults and all(fault is not None and fault.is_unusable for fault in faults):
        return faults[0]
    return next((fault for fault in faults if fault is not None and not fault.is_unusable), None)


def check_texts(recordings: Recordings, encoder: SoundEncoder, features: SoundCache) -> list[Finding]:
    """Which texts are empty or too long for the steps of their recordings, and which recordings are too long."""
    findings = empty_texts(recordings)
    texts, names, fewest = recordings.texts_said, recordings.names, steps_needed(recordings)
    for row, (text, name, needed) in enumerate(zip(texts, names, fewest, strict=True)):
        key = key_of(recordings.sounds[row]), SAME
        steps = encoder.steps(len(features.get(key))) if features.has(key) else None
        seconds = 0 if steps is None else steps * encoder.step_seconds
        if not plain(text):
            continue
        if seconds > LONGEST:
            findings.append(Finding(row, name, f"{seconds:.0f} s long; cut it, training takes {LONGEST:.0f} s", True))
        elif steps is not None and needed > steps:
            what = f"its text of {len(plain(text))} characters needs {needed} steps, its {seconds:.2f} s have {steps}"
            findings.append(Finding(row, name, what, True))
    return findings


def empty_texts(recordings: Recordings) -> list[Finding]:
    """Which texts have nothing in them."""
    pairs = zip(recordings.names, recordings.texts_said, strict=True)
    return [Finding(row, name, "has an empty text", True) for row, (name, text) in enumerate(pairs) if not plain(text)]


def steps_needed(recordings: Recordings) -> Array:
    """The fewest steps in which CTC can write each text, (N,): one a character, one more between two equal ones."""
    texts = [[ord(character) for character in plain(text)] for text in recordings.texts_said]
    return np.array([needed_steps(text) for text in texts], dtype=np.int64)


def report_findings(findings: Sequence[Finding], count: int, source: Source, strict: bool) -> None:
    """Tell what is wrong: as a warning, or where ``strict`` and a recording is useless as a DataError."""
    findings = sorted(findings)  # by row
    useless = [finding for finding in findings if finding.is_useless]
    for some, verdict in ((useless, "cannot be used"), ([f for f in findings if not f.is_useless], "may be bad")):
        if not some:
            continue
        lines = [f"  {finding.name}: {finding.what}" for finding in some[:MOST_LINES]]
        if len(some) > MOST_LINES:
            lines.append(f"  and {len(some) - MOST_LINES} more")
        rows = len({finding.row for finding in some})
        message = "\n".join([f"{rows} of {count} recordings {verdict} ({source}):", *lines])
        if strict and some is useless:
            raise DataError(message, hint="mend them or leave them out; without strict they are left out")
        warn(message, stacklevel=2)


def usable(findings: Sequence[Finding], count: int) -> Array:
    """Positions of the recordings that nothing makes useless."""
    useless = {finding.row for finding in findings if finding.is_useless}
    return np.array([row for row in range(count) if row not in useless], dtype=np.int64)
