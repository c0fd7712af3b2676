"""What a model is, what it learned from, its settings and versions. Knows a fitted estimator; measures nothing."""

from __future__ import annotations

import inspect
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from bilstm.data.characters import SPACE
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.parameters import described
from bilstm.nn import explain
from bilstm.report.blocks import Block, Facts, Table, Text, counted, number, percent, shortened
from bilstm.report.sentences import joined

NAMED = 12  # columns or classes that are named
WATCHED = ("checkpoint", "verbose")  # of this run, not of the model
NOT_RECORDED = "not recorded: the model file does not say"
PARTS = {"classifier": "sequence", "regressor": "sequence", "tagger": "sentence", "transcriber": "recording"}


def sentence(estimator: Any) -> str:
    """What the model is, in one plain sentence."""
    goals = _listed(list(estimator.target_names_), 4)
    if estimator.task == "forecaster":
        step = estimator.known_.clock.name
        steps = "" if "step" in step else f" ({step})"
        return (
            f"A forecaster: it reads the last {estimator.history} steps{steps} of a series and says the next "
            f"{counted(estimator.horizon, 'step')} of {goals}, with 80 % and 95 % intervals."
        )
    if estimator.task == "transcriber":
        return (
            f"A transcriber: it writes down what is said in recordings, in {counted(len(estimator.characters_) - 1, 'character')}."
        )
    if estimator.task == "tagger":
        kinds = sorted({str(tag).partition("-")[2] for tag in estimator.classes_} - {""})
        what = f"finds {_listed(kinds, 6)} in sentences" if kinds and estimator.scheme_ else "gives every word a tag"
        return f"A tagger: it {what}, with {counted(len(estimator.classes_), 'tag')}{' and a CRF' if estimator.crf else ''}."
    read = _read(estimator)
    if estimator.task == "classifier":
        several = "any of" if estimator.several_ else "one of"
        names = _listed([str(label) for label in estimator.classes_.tolist()], 5)
        return f"A classifier: it reads {read} and says {goals}: {several} {len(estimator.classes_)} ({names})."
    return f"A regressor: it reads {read} and says {goals}."


def _read(estimator: Any) -> str:
    if estimator.is_language_:
        return "a text"
    columns = f"{counted(len(estimator.feature_names_), 'column')}"
    if estimator.is_table_:
        return f"a table row of {columns}" + (", a column a step" if estimator.table_as == "steps" else "")
    return f"a sequence of steps of {columns}"


def _listed(names: list[str], most: int = NAMED) -> str:
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
    if not estimator.is_language_ and estimator.task != "transcriber":
        pairs.append(("columns", _listed(list(estimator.feature_names_))))
    if estimator.task == "forecaster":
        pairs += _of_series(estimator)
    if estimator.task in ("classifier", "tagger"):
        pairs.append(("tags" if estimator.task == "tagger" else "classes", _listed([str(c) for c in estimator.classes_])))
    if estimator.is_language_:
        words = estimator.words_
        vectors = f", and vectors of {len(words.vector_words):,}" if words.vector_words else ""
        pairs.append(("vocabulary", f"{counted(len(words.words), 'word')}, {counted(len(words.characters), 'character')}{vectors}"))
    if estimator.task == "tagger" and estimator.repaired_:
        pairs.append(("repaired", f"{counted(estimator.repaired_, 'tag')} that broke the {estimator.scheme_.upper()} scheme"))
    if estimator.task == "transcriber":
        signs = estimator.characters_.inverse(range(1, len(estimator.characters_))).replace(SPACE, "␣")
        pairs.append(("characters", shortened(signs, 200)))
        pairs.append(("sound", f"{estimator.sound_.rate:,} Hz, {estimator.sound_.mels} bands, steps of {1000 * estimator.sound_.step_seconds:g} ms"))
        left = getattr(estimator, "left_out_", [])
        pairs += [("left out", f"{counted(len(left), 'recording')} that could not be learned from")] if left else []
    return Facts(pairs)


def _amount(estimator: Any, told: dict[str, Any]) -> str:
    if "sequences" not in told:
        return ""
    unit = "window" if estimator.task == "forecaster" else "text" if estimator.is_language_ and estimator.task == "classifier" else PARTS.get(estimator.task, "sequence")
    if estimator.is_table_ and estimator.task != "forecaster":
        unit = "row"
    parts = [counted(told["sequences"], unit)]
    steps = "word" if estimator.is_language_ else "step"
    if "steps" in told and unit not in ("row", "recording"):
        parts[0] += f" ({counted(told['steps'], steps)})"
    if told.get("validation_sequences"):
        parts.append(f"{told['validation_sequences']:,} more to stop by")
    source = f" from {told['source']}" if told.get("source") not in (None, "", "X") else " from arrays"
    return " and ".join(parts) + source


def _of_series(estimator: Any) -> list[tuple[str, str]]:
    known = estimator.known_
    pairs = [("series", f"{counted(len(known), 'series'.removesuffix('s'))}".replace("serie", "series").replace("seriess", "series"))]
    pairs.append(("step", known.clock.name))
    pairs.append(("until", str(known.known_times.max())))
    pairs.append(("target seen as", estimator.target_as_))
    pairs.append(("kept of the BiLSTM's part", f"{percent(estimator.share_)}; the rest of the forecast is a linear model's"))
    return pairs


def settings(estimator: Any) -> list[Block]:
    """Every constructor parameter, those that differ from their default first."""
    texts = described(type(estimator))
    rows: list[tuple[bool, list[str]]] = []
    for name, parameter in inspect.signature(type(estimator)).parameters.items():
        if name in WATCHED:
            continue
        value, default = getattr(estimator, name), parameter.default
        chosen = estimator._chosen(name)
        shown = written(value) if chosen == value or value is not None else f"none, here {written(chosen)}"
        rows.append((repr(value) != repr(default), [name, shown, written(default), texts.get(name, "")]))
    rows.sort(key=lambda row: not row[0])
    changed = sum(differs for differs, _ in rows)
    said = f"{counted(changed, 'parameter')} of {len(rows)} differ{'s' if changed == 1 else ''} from the default"
    said += "; they stand first." if changed else "."
    table = Table("Parameters", ["parameter", "value", "default", "what it is"], [row for _, row in rows], texts=(0, 1, 2, 3))
    return [Text(said), table]


def written(value: Any) -> str:
    """A parameter's value as text.

    Example:
        >>> written(None), written(0.003), written(True), written({"yes": 2.0})
        ('none', '0.003', 'true', 'yes=2')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{key}={weight:g}" for key, weight in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


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


def joined_words(words: list[str]) -> str:
    """Words as text."""
    return joined(words)
