"""What the command line does with sound: reads it for training, writes transcripts, evaluates them.

Knows options, forms and words; transcripts and figures are the estimator's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import DataError, ParameterError

if TYPE_CHECKING:
    from bilstm.data.recordings import Recordings
    from bilstm.estimators.transcriber import BiLSTMTranscriber
    from bilstm.estimators.transcripts import Transcript

STDIN = "-"


def read_recordings_for_fit(
    data: str, text: str | None, sound: str | None, group: str | None, like: Recordings | None = None
) -> Recordings:
    """DATA for training: a table of paths and texts. ``like`` is the training data of a second file."""
    from bilstm.data.recordings import read_recordings

    if like is not None:
        text, sound, group = (like.read_with.get(name) for name in ("text", "sound", "group"))
    return read_recordings(data, text=text or "text", sound=sound or "path", group=group)


def predict_sounds(
    model: BiLSTMTranscriber, data: Sequence[str], output: Path | None, decoding: dict[str, Any]
) -> None:
    """Transcripts of sound files, folders, tables of paths, or of the sound file that comes in on stdin."""
    from bilstm.cli import talk, write_text

    recordings = recordings_for(model, data)
    found = model.transcribe(recordings, **decoding)
    names = recordings.names
    for name, transcript in zip(names, found, strict=True):
        if transcript.note is not None:
            talk(f"note: {name}: {transcript.note}")
    ending = "" if output is None else output.suffix.lower()
    if all(transcript.note is not None and not transcript.text for transcript in found):
        raise DataError(f"expected sound with something in it, got none in {', '.join(names[:3])}")
    if ending in (".json", ".jsonl", ".ndjson"):
        lines = [json.dumps(_plain(*pair), ensure_ascii=False) for pair in zip(names, found, strict=True)]
        written = f"[{', '.join(lines)}]\n" if ending == ".json" else "\n".join(lines) + "\n"
    elif ending == ".txt" or (output is None and len(found) == 1):
        written = "".join(f"{transcript.text}\n" for transcript in found)
    else:
        written = _table(names, found, "\t" if ending == ".tsv" else ",")
    if output is None:
        sys.stdout.write(written)
    else:
        write_text(output, written)
        talk(f"wrote {output}: {len(found)} recordings")


def evaluate_sounds(model: BiLSTMTranscriber, data: str, decoding: dict[str, Any], as_json: bool) -> None:
    """Word and character error rates; without ``--json`` with every mistake, truth above transcript."""
    from bilstm.cli import print_figures, talk

    recordings = model.read(data, with_targets=True)
    if recordings.fingerprint() == model.trained_on_:
        talk("note: the model was trained on these very recordings; what it knows of new ones, other data must show")
    found = model.compare(recordings, **decoding)
    if not as_json:
        print(f"{found.alignment()}\n")
    print_figures(found.metrics, as_json)


def recordings_for(model: BiLSTMTranscriber, data: Sequence[str]) -> Recordings:
    """DATA of sound in any form: files, folders, tables of paths, or a sound file from stdin."""
    from bilstm.data.recordings import from_sounds

    if STDIN in data:
        if len(data) > 1:
            raise ParameterError(f"expected - alone, for sound from stdin, got {len(data)} names")
        return from_sounds([sys.stdin.buffer.read()], rate=model.sound_.rate)
    return model.read(list(data) if len(data) > 1 else data[0])


def _table(names: Sequence[str], found: Sequence[Transcript], separator: str) -> str:
    import polars as pl

    columns: dict[str, Any] = {
        "path": names,
        "text": [transcript.text for transcript in found],
        "confidence": [round(transcript.confidence, 4) for transcript in found],
    }
    if any(transcript.note for transcript in found):
        columns["note"] = [transcript.note for transcript in found]
    return pl.DataFrame(columns).write_csv(separator=separator)


def _plain(name: str, transcript: Transcript) -> dict[str, Any]:
    """A transcript as JSON can say it."""
    words = [
        {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
        | {"confidence": round(word.confidence, 4)}
        for word in transcript.words
    ]
    others = [{"text": text, "probability": round(chance, 4)} for text, chance in transcript.alternatives]
    plain = {"path": name, "text": transcript.text, "confidence": round(transcript.confidence, 4), "words": words}
    return plain | ({"alternatives": others} if others else {}) | ({"note": transcript.note} if transcript.note else {})


def decoding_options(
    task: str,
    lm: Path | None,
    lm_weight: float | None,
    word_bonus: float | None,
    hot_word: Sequence[str] | None,
    beam: int | None,
    look_ahead: float | None,
) -> dict[str, Any]:
    """The options that say how sound becomes text, as far as they were given; no other task has any."""
    options = {"lm": lm, "lm_weight": lm_weight, "word_bonus": word_bonus, "hot_words": hot_word or None}
    given = {name: v for name, v in (options | {"beam": beam, "look_ahead": look_ahead}).items() if v is not None}
    if given and task != "transcriber":
        option = next(iter(given)).replace("hot_words", "hot_word").replace("_", "-")
        raise ParameterError(f"expected no --{option} beside a {task}, got one", hint="a transcriber knows it")
    return given
