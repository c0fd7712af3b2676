"""What a model learned from and how, its settings and versions, how to make it again. Measures nothing."""

from __future__ import annotations

import inspect
import json
import math
import platform
import shlex
from importlib import metadata
from pathlib import Path

import numpy as np

from bilstm.data.builtin import BUILTIN
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.signatures import described
from bilstm.formatting import as_option, counted, number
from bilstm.nn import explain
from bilstm.plotting.charts import Chart
from bilstm.plotting.description import BLUE, GREEN, PINK, Axis, Line, Panel, thinned
from bilstm.plotting.interactive import to_plotly
from bilstm.report.blocks import Block, Code, Drawing, Facts, Table, Text
from bilstm.training.history import History

WATCHED = ("checkpoint", "verbose")  # of this run, not of the model
NOT_RECORDED = "not recorded: the model file does not say"


def learned_from(estimator: BiLSTMEstimator) -> Facts:
    """What it was trained on."""
    fit = estimator.trained_with_
    pairs = [("data", _amount(estimator) or NOT_RECORDED)]
    if "date" in fit:
        seconds = f", in {number(fit['seconds'], 3)} seconds" if "seconds" in fit else ""
        pairs.append(("trained", f"{fit['date'].replace('T', ' ').replace('Z', ' UTC')}{seconds}"))
    return Facts(pairs + estimator.learned_facts())


def _amount(estimator: BiLSTMEstimator) -> str:
    fit = estimator.trained_with_
    if "sequences" not in fit:
        return ""
    amount = counted(fit["sequences"], estimator.row_unit)
    if fit.get("steps") not in (None, fit["sequences"]):  # rows and recordings have one each
        amount += f" ({counted(fit['steps'], 'word' if estimator.is_language_ else 'step')})"
    if fit.get("validation_sequences"):
        amount += f" and {fit['validation_sequences']:,} more to stop by"
    return amount + (f", from {fit['source']}" if fit.get("source") not in (None, "", "X") else ", from arrays")


def training(history: History) -> list[Block]:
    """Loss curves, the metric, and how the optimiser went."""
    rows = thinned(len(history))
    epoch = Axis("epoch", scale="whole")

    def panel(name: str, label: str, colour: str) -> Panel:
        values, epochs = np.asarray(history[name])[rows], np.asarray(history["epoch"])[rows]
        return Panel([Line(values, epochs, name=label, colour=colour, marker=4 * (len(rows) < 3))], epoch, Axis(label))

    note = "It should fall and level off."
    if history.has_validation:
        note = (
            "Both should fall. Where the validation loss rises while the other falls, the model learns its training "
            "rows by heart; the kept epoch is the best one of the validation part."
        )
    charts = [Chart("Loss", note, to_plotly([history.panel()]))]
    if history.has_validation:
        metric = panel("metric", history.metric_name, GREEN)
        note = "Measured on the validation part after every epoch, in the caller's units."
        charts.append(Chart(history.metric_name, note, to_plotly([metric]), height=260))
    note = "The gradient's size before clipping, and that of the optimiser's steps. If the first keeps growing, beware."
    steps = [panel("gradient_norm", "gradient norm", BLUE), panel("learning_rate", "learning rate", PINK)]
    charts.append(Chart("Gradient and learning rate", note, to_plotly(steps), height=340))
    seconds = sum(value for value in history["seconds"] if not math.isnan(value))
    summary = f"{counted(len(history), 'epoch')} in {number(seconds, 3)} seconds."
    return [Text(summary), *(Drawing(chart) for chart in charts)]


def settings(estimator: BiLSTMEstimator) -> list[Block]:
    """Every constructor parameter, those that differ from their default first."""
    texts, changed = described(type(estimator)), changed_parameters(estimator)
    parameters = inspect.signature(type(estimator)).parameters
    names = [*changed, *(name for name in parameters if name not in changed and name not in WATCHED)]
    rows = []
    for name in names:
        value, resolved = getattr(estimator, name), estimator.resolved(name)
        shown = as_option(value) if value is not None or resolved is None else f"none, here {as_option(resolved)}"
        rows.append([name, shown, as_option(parameters[name].default), texts.get(name, "")])
    count = len(changed)
    differ = f"Of {len(rows)} parameters {count or 'none'} differ{'s' if count == 1 else ''} from the default"
    differ += "; they stand first." if count > 1 else "; it stands first." if count else "."
    head = ["parameter", "value", "default", "what it is"]
    return [Text(differ), Table("Parameters", head, rows, texts=(0, 1, 2, 3))]


def changed_parameters(estimator: BiLSTMEstimator) -> dict[str, inspect.Parameter]:
    """The constructor parameters that make the model and differ from their defaults."""
    return {
        name: parameter
        for name, parameter in inspect.signature(type(estimator)).parameters.items()
        if name not in WATCHED and repr(getattr(estimator, name)) != repr(parameter.default)
    }


def versions(estimator: BiLSTMEstimator, file: Path | None) -> Facts:
    """Sizes, versions and the kernel."""
    parameters = sum(parameter.numel() for parameter in estimator.network_.parameters())
    pairs = [("weights", f"{parameters:,} numbers that were trained")]
    if file is not None and file.is_file():
        pairs.append(("model file", f"{file.name}, {number(file.stat().st_size / 1e6, 3)} MB"))
    for name in ("bilstm", "torch"):
        then = estimator.trained_with_.get(name, "not recorded")
        pairs.append((name, f"{metadata.version(name)} now, {then} in training"))
    pairs.append(("python", platform.python_version()))
    kernel = next((name for name, reason in explain() if reason == "runs"), "none")
    pairs.append(("kernel", f"{kernel}, here and now"))
    pairs.append(("training data", f"fingerprint {estimator.trained_on_[:16]}"))
    return Facts(pairs)


# -- the commands that make a model again ------------------------------------------------------------------------

MANY = ("target", "future")  # options that are given again for each value; model files hold them as lists


def commands(estimator: BiLSTMEstimator, file: Path | None, data: str | None) -> list[Block]:
    """What to type, with the names of its model file and of what it was examined on; what cannot be known of it."""
    name = "model.bilstm" if file is None else file.name
    source = estimator.trained_with_.get("source")
    note = "Data options that only choose columns (such as --drop, --category or --valid) are not kept in a model."
    if source == "X":
        note = "The model was fitted to arrays: its own program fits it again."
        arguments = ", ".join(f"{one}={getattr(estimator, one)!r}" for one in changed_parameters(estimator))
        lines = [f"# {type(estimator).__name__}({arguments}).fit(X, y).save({name!r})"]
    else:
        if source is None:
            source, note = "DATA", f"{note} Nor is the name of its data, in a file of this age."
        words = ["bilstm", "fit", estimator.task, source, *_data_options(estimator, source), *options(estimator)]
        lines = [shlex.join([*words, "-o", name])]
    if data is not None:
        lines.append(shlex.join(["bilstm", "evaluate", name, data]))
    lines.append(shlex.join(["bilstm", "report", name, *([] if data is None else [data]), "-o", "report.html"]))
    same = "With the same data, seed and versions the model is the same, bit for bit, on one machine."
    if estimator.random_state is None:
        same = "It was trained without a fixed seed (random_state none): another run gives another model."
    return [Code("\n".join(lines)), Text(f"{note} {same}")]


def options(estimator: BiLSTMEstimator) -> list[str]:
    """Constructor parameters that differ from their defaults, as options of ``bilstm fit``."""
    words: list[str] = []
    for name, parameter in changed_parameters(estimator).items():
        option, value = name.replace("_", "-"), getattr(estimator, name)
        if parameter.annotation == "bool":
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", as_option(value)]
    return words


def _data_options(estimator: BiLSTMEstimator, source: str) -> list[str]:
    """Which columns were read, as far as the model knows."""
    if source in BUILTIN:
        return []
    columns = dict(estimator.read_with_)
    if "target" in estimator.reading:
        columns.setdefault("target", json.dumps(estimator.target_names_))
    pairs = [(name, json.loads(value) if name in MANY else [value]) for name, value in columns.items()]
    return [word for name, values in pairs for value in values for word in (f"--{name}", value)]
