"""What the command line does with sound: reads it for training, writes transcripts, evaluates them.

Knows options, forms and words; transcripts and figures are the estimator's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.cli.data import recordings_for
from bilstm.errors import DataError

if TYPE_CHECKING:
    from bilstm.estimators.transcriber import BiLSTMTranscriber
    from bilstm.estimators.transcripts import Transcript


def predict_sounds(
    model: BiLSTMTranscriber, data: Sequence[str], output: Path | None, decoding: dict[str, Any]
) -> None:
    """Transcripts of sound files, folders, tables of paths, or of the sound file that comes in on stdin."""
    from bilstm.cli.output import talk, write_text

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
