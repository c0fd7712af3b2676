"""What a model is, what it learned from, its settings and versions. Knows a fitted estimator; measures nothing."""

from __future__ import annotations

import inspect
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from bilstm.data.text.characters import SPACE
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.signatures import described
from bilstm.formatting import counted, number, percent, shortened
from bilstm.nn import explain
from bilstm.report.blocks import Block, Facts, Table, Text
from bilstm.report.fans import written_time

NAMED = 12  # columns or classes that are named
WATCHED = ("checkpoint", "verbose")  # of this run, not of the model
NOT_RECORDED = "not recorded: the model file does not say"
UNITS = {"regressor": "sequence", "classifier": "sequence", "tagger": "sentence", "transcriber": "recording"}


def sentence(estimator: Any) -> str:
    """What the model is, in one plain sentence."""
    goals = listed(list(estimator.target_names_), 4)
    if estimator.task == "forecaster":
        return (
            f"A forecaster: it reads the last {estimator.history} steps{_clock(estimator)} of a series and says the "
            f"next {counted(estimator.horizon, 'step')} of {goals}, with intervals."
        )
    if estimator.task == "transcriber":
        signs = counted(len(estimator.characters_) - 1, "character")
        return f"A transcriber: it writes down what is said in recordings, in {signs}."
    if estimator.task == "tagger":
        kinds = sorted({str(tag).partition("-")[2] for tag in estimator.classes_} - {""})
        what = f"finds {listed(kinds, 6)} in sentences" if kinds and estimator.scheme_ else "gives every word a tag"
        crf = " and a CRF" if estimator.crf else ""
        return f"A tagger: it {what}, with {counted(len(estimator.classes_), 'tag')}{crf}."
    if estimator.task == "classifier":
        several = "any of" if estimator.several_ else "one of"
        names = listed([str(label) for label in estimator.classes_.tolist()], 5)
        choice = f"{several} {len(estimator.classes_)} ({names})"
        return f"A classifier: it reads {_read(estimator)} and says {goals}: {choice}."
    return f"A regressor: it reads {_read(estimator)} and says {goals}."


def _clock(estimator: Any) -> str:
    step = str(estimator.known_.clock.name)
    return "" if "step" in step else f" ({step})"


def _read(estimator: Any) -> str:
    if estimator.is_language_:
        return "a text"
    columns = counted(len(estimator.feature_names_), "column")
    if estimator.is_table_:
        return f"a table row of {columns}" + (", a column a step" if estimator.table_as == "steps" else "")
    return f"a sequence of steps of {columns}"


def listed(names: list[str], most: int = NAMED) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], 2)
        ('a, b and c', 'a, b and 1 more')
    """
    shown = [shortened(name, 60) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def learned_from(estimator: Any) -> Facts:
    """What it was trained on."""
    told = estimator.trained_with_
    pairs = [("data", _amount(estimator, told) or NOT_RECORDED)]
    if "date" in told:
        spent = f", in {number(told['seconds'], 3)} seconds" if "seconds" in told else ""
        pairs.append(("trained", f"{told['date'].replace('T', ' ').replace('Z', ' UTC')}{spent}"))
    ways = {"forecaster": _of_series, "transcriber": _of_sound}
    pairs += ways[estimator.task](estimator) if estimator.task in ways else _of_rest(estimator)
    return Facts(pairs)


def _amount(estimator: Any, told: dict[str, Any]) -> str:
    if "sequences" not in told:
        return ""
    unit = "window" if estimator.task == "forecaster" else "row" if estimator.is_table_ else UNITS[estimator.task]
    if estimator.is_language_ and estimator.task == "classifier":
        unit = "text"
    amount = counted(told["sequences"], unit)
    if "steps" in told and unit not in ("row", "recording"):
        amount += f" ({counted(told['steps'], 'word' if estimator.is_language_ else 'step')})"
    if told.get("validation_sequences"):
        amount += f" and {told['validation_sequences']:,} more to stop by"
    return amount + (f", from {told['source']}" if told.get("source") not in (None, "", "X") else ", from arrays")


def _of_rest(estimator: Any) -> list[tuple[str, str]]:
    pairs = []
    if not estimator.is_language_:
        pairs.append(("columns", listed(list(estimator.feature_names_))))
    if estimator.task != "regressor":
        name = "tags" if estimator.task == "tagger" else "classes"
        pairs.append((name, listed([str(label) for label in estimator.classes_])))
    if estimator.is_language_:
        words = estimator.words_
        vectors = f", vectors of {counted(len(words.vector_words), 'word')}" if words.vector_words else ""
        sizes = f"{counted(len(words.words), 'word')}, {counted(len(words.characters), 'character')}"
        pairs.append(("vocabulary", sizes + vectors))
    if estimator.task == "tagger" and estimator.repaired_:
        tags = counted(estimator.repaired_, "tag")
        pairs.append(("repaired", f"{tags} that broke the {estimator.scheme_.upper()} scheme"))
    return pairs


def _of_sound(estimator: Any) -> list[tuple[str, str]]:
    sound = estimator.sound_
    signs = estimator.characters_.inverse(range(1, len(estimator.characters_))).replace(SPACE, "␣")
    heard = f"{sound.rate:,} Hz, {counted(sound.mels, 'band')}, steps of {1000 * sound.step_seconds:g} ms"
    pairs = [("characters", shortened(signs, 200)), ("sound", heard)]
    left = getattr(estimator, "left_out_", [])
    return pairs + ([("left out", f"{counted(len(left), 'recording')} that could not be learned from")] if left else [])


def _of_series(estimator: Any) -> list[tuple[str, str]]:
    known = estimator.known_
    kept = f"{percent(estimator.share_)} is kept: as much as the validation part supports beside the linear map"
    return [
        ("columns", listed(list(estimator.feature_names_))),
        (
            "series",
            f"{counted(len(known), 'series')}, until {written_time(known.known_times.max())} ({known.clock.name})",
        ),
        ("targets seen as", estimator.target_as_),
        ("the BiLSTM's part", kept),
    ]


def settings(estimator: Any) -> list[Block]:
    """Every constructor parameter, those that differ from their default first."""
    texts = described(type(estimator).__doc__ or "")
    rows: list[tuple[bool, list[str]]] = []
    for name, parameter in inspect.signature(type(estimator)).parameters.items():
        if name in WATCHED:
            continue
        value, chosen = getattr(estimator, name), estimator.resolved(name)
        shown = written(value) if value is not None or chosen is None else f"none, here {written(chosen)}"
        words = [name, shown, written(parameter.default), texts.get(name, "")]
        rows.append((repr(value) != repr(parameter.default), words))
    rows.sort(key=lambda row: not row[0])  # which keeps the order of each kind
    changed = sum(differs for differs, _ in rows)
    said = f"Of {len(rows)} parameters {changed or 'none'} differ{'s' if changed == 1 else ''} from the default"
    said += "; they stand first." if changed > 1 else "; it stands first." if changed else "."
    head = ["parameter", "value", "default", "what it is"]
    return [Text(said), Table("Parameters", head, [words for _, words in rows], texts=(0, 1, 2, 3))]


def written(value: Any) -> str:
    """A parameter's value as text, from which the very same value is read.

    Example:
        >>> written(None), written(1 / 300), written(True), written({"yes": 2.0})
        ('none', '0.0033333333333333335', 'true', 'yes=2')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{key}={_exact(weight)}" for key, weight in value.items())
    return _exact(value) if isinstance(value, float) else str(value)


def _exact(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def versions(estimator: BiLSTMEstimator, file: Path | None) -> Facts:
    """Sizes, versions and the kernel."""
    told = estimator.trained_with_
    parameters = sum(parameter.numel() for parameter in estimator.network_.parameters())
    pairs = [("weights", f"{parameters:,} numbers that were trained")]
    if file is not None and file.is_file():
        pairs.append(("model file", f"{file.name}, {number(file.stat().st_size / 1e6, 3)} MB"))
    for name in ("bilstm", "torch"):
        then = told.get(name, "not recorded")
        pairs.append((name, f"{metadata.version(name)} now, {then} in training"))
    pairs.append(("python", platform.python_version()))
    kernel = next((name for name, reason in explain() if reason == "runs"), "none")
    pairs.append(("kernel", f"{kernel}, here and now"))
    pairs.append(("training data", f"fingerprint {estimator.trained_on_[:16]}"))
    return Facts(pairs)
