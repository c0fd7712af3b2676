"""Words in, words out: the `bilstm` command. Knows options and exit statuses; every piece of work is done elsewhere.

Nothing heavy is imported before a command runs, so that `bilstm --help` answers at once. Result data goes to
stdout, talk to stderr. Exit status: 0 done, 1 the work failed, 2 the call was wrong.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bilstm.cli_cluster import with_ray_address
from bilstm.cli_export import export
from bilstm.cli_fit import TASKS, add_fit_commands
from bilstm.cli_report import add_report_command
from bilstm.cli_see import add_see_commands
from bilstm.cli_serve import serve
from bilstm.cli_sound import decoding_options
from bilstm.cli_tune import add_tune_commands
from bilstm.errors import BilstmError, DataError, ParameterError, did_you_mean

if TYPE_CHECKING:
    from bilstm.data.dataset import Dataset

app = typer.Typer(
    name="bilstm",
    help="Bidirectional LSTMs: from a file to a trained, measured and saved model.\n\n"
    "Example: bilstm fit regressor houses.csv --target price -o houses.bilstm",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ModelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A model file, for instance boston.bilstm.")]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A file of the kind that the model was trained on, or a built-in set: boston, digits, sunspots.",
    ),
]

LanguageModel = Annotated[
    Path | None, typer.Option("--lm", metavar="FILE", help="Transcriber: a language model, as ARPA text.")
]
LanguageModelWeight = Annotated[
    float | None, typer.Option("--lm-weight", metavar="X", help="How much it counts beside the sound.")
]
WordBonus = Annotated[
    float | None, typer.Option("--word-bonus", metavar="X", help="Transcriber: added for every word.")
]
HotWord = Annotated[
    list[str] | None, typer.Option("--hot-word", metavar="WORD", help="Transcriber: to be expected; give it again.")
]
Beam = Annotated[
    int | None, typer.Option("--beam", min=1, metavar="N", help="Transcriber: readings kept; 1 is quickest.")
]
LookAhead = Annotated[
    float | None,
    typer.Option("--look-ahead", min=0, metavar="SECONDS", help="Transcriber: hear no more ahead, as in a stream."),
]


@app.callback(invoke_without_command=True)
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options before the command; ``--debug`` is read by :func:`main`."""
    if version:
        import bilstm

        print(bilstm.__version__)
        raise typer.Exit


@app.command()
def demo(
    task: Annotated[
        str,
        typer.Argument(
            metavar="[TASK]",
            help="regressor, classifier, tagger, forecaster or transcriber; or data.",
            autocompletion=lambda: [*TASKS, "data"],
        ),
    ] = "regressor",
    folder: Annotated[Path | None, typer.Option("--folder", "-o", metavar="FOLDER", help="Where to write.")] = None,
    max_epochs: Annotated[
        int | None, typer.Option("--max-epochs", min=1, metavar="N", help="Fewer for a quick look.")
    ] = None,
) -> None:
    """Train on real data that needs no download, and show the result.

    regressor: the classic Boston housing job, 10,000 epochs. classifier: handwritten digits.
    tagger: names in Chinese sentences that are made up. forecaster: the sunspots of three hundred years.
    transcriber: digits from the tones of a telephone's keys. data: small files for each task, to try the commands with.

    Example: bilstm demo regressor

    Example: bilstm demo data -o .
    """
    if task == "data" and max_epochs is not None:
        raise ParameterError(f"expected no --max-epochs beside data, got {max_epochs}", hint="nothing is trained")
    show = _demonstration(task)
    folder = made_folder(folder or Path(f"demo-{task}"))
    show(folder, functools.partial(print, flush=True), **({} if max_epochs is None else {"epochs": max_epochs}))


def _demonstration(task: str) -> Callable[..., None]:
    if task == "data":  # which needs nothing that trains
        from bilstm.demo_data import write_demo_data

        return write_demo_data
    from bilstm.demo import DEMOS

    if task not in DEMOS:
        raise ParameterError(f"expected a task with a demo, got {task!r}", hint=did_you_mean(task, [*DEMOS, "data"]))
    return DEMOS[task]


@app.command()
# long: its parameters are the options of the command
def predict(
    file: ModelFile,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA",
            help="A table, a built-in set, a CoNLL file, a .txt file of lines, or - for lines of text. A forecaster "
            "needs none: it goes on from the end of its training series. A transcriber takes sound files, folders, "
            "a table of paths, or - for a sound file.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="A file instead of stdout.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COL", help="Column of texts, if not as in training.")] = None,
    lm: LanguageModel = None,
    lm_weight: LanguageModelWeight = None,
    word_bonus: WordBonus = None,
    hot_word: HotWord = None,
    beam: Beam = None,
    look_ahead: LookAhead = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]", help="Predict many files into a folder, on a Ray cluster or one started here."
        ),
    ] = None,
) -> None:
    """Predict every row, sequence or sentence of DATA, in its order.

    Numbers give CSV with a row for each. Language comes back in its own form with columns added: CSV, JSON lines,
    CoNLL; lines of text as words with tags, or as label, probability and text. On a terminal entities are coloured.
    A forecaster gives the steps that come after DATA, with the bounds of its intervals.

    Example: bilstm predict boston.bilstm new_houses.csv -o prices.csv

    Example: echo "Angela Merkel besuchte Paris" | bilstm predict names.bilstm -

    Example: bilstm predict digits.bilstm *.wav -o out.csv

    Example: bilstm predict boston.bilstm 'folder/*.parquet' --ray -o predictions
    """
    if ray is not None:
        from bilstm.cli_cluster import predict_on_workers

        predict_on_workers(file, data or [], output, ray, text)
        return
    from bilstm.model_file import load

    model = load(file)
    decoding = decoding_options(model.task, lm, lm_weight, word_bonus, hot_word, beam, look_ahead)
    if not data and model.task != "forecaster":
        raise ParameterError(f"expected DATA beside a {model.task}, got none", hint="name a file to predict")
    if model.task == "transcriber":
        from bilstm.cli_sound import predict_sounds

        predict_sounds(model, data or [], output, decoding)
        return
    if data and len(data) > 1:
        raise ParameterError(f"expected one DATA beside a {model.task}, got {len(data)}: {' '.join(data[:3])}")
    from bilstm.cli_predict import predict_one

    predict_one(model, data[0] if data else None, output, text)


@app.command()
def evaluate(
    file: ModelFile,
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    folds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Forecaster: walk through the last N parts of DATA.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps of a fold; by default a tenth.")] = None,
    refit: Annotated[bool, typer.Option(help="Fit anew before every fold, or once before the first.")] = True,
    lm: LanguageModel = None,
    lm_weight: LanguageModelWeight = None,
    word_bonus: WordBonus = None,
    hot_word: HotWord = None,
    beam: Beam = None,
    look_ahead: LookAhead = None,
) -> None:
    """Measure a model on DATA that holds the true targets.

    Of a forecaster what lies behind its training is measured, beside what simple rules say; --folds fits it again
    to what lies before each fold instead. Of a transcriber every mistake is shown, truth above transcript.

    Example: bilstm evaluate boston.bilstm test.csv --json

    Example: bilstm evaluate prices.bilstm prices.csv --folds 4 --steps 250

    Example: bilstm evaluate names.bilstm test.csv --lm names.arpa
    """
    from bilstm import metrics
    from bilstm.model_file import load

    model = load(file)
    decoding = decoding_options(model.task, lm, lm_weight, word_bonus, hot_word, beam, look_ahead)
    if model.task == "forecaster":
        from bilstm.cli_series import evaluate_series

        evaluate_series(model, data, folds, steps, refit, as_json)
        return
    if folds is not None or steps is not None or not refit:
        raise ParameterError(f"expected no --folds, --steps or --no-refit beside a {model.task}, got one")
    if model.task == "transcriber":
        from bilstm.cli_sound import evaluate_sounds

        evaluate_sounds(model, data, decoding, as_json)
        return
    rows = read_for(model, data, with_targets=True)
    if rows.fingerprint() == model.trained_on_:
        talk("note: the model was trained on these very rows; what it knows of new ones, other data must show")
    print_figures(metrics.evaluate(model, rows), as_json)
    if not as_json and getattr(model, "scheme_", None) is not None:
        print("\n" + model.report(rows))


@app.command()
def plot(
    file: ModelFile,
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Data with targets: plots predictions; or a sound.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="A .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Draw the loss curves of a model's training; with DATA, its predictions against the truth.

    Of a forecaster the coming steps and their intervals are drawn too; with DATA, what it said of them before they
    came. Of a transcriber DATA is one recording: its spectrum, and the characters that are heard in it.

    Example: bilstm plot boston.bilstm test.csv -o predictions.png
    """
    from bilstm.cli_series import series_for
    from bilstm.model_file import load
    from bilstm.plots import forecasts, predictions, save_figure, transcript

    model = load(file)
    if model.task == "forecaster":
        figure, name = forecasts(model, None if data is None else series_for(model, data)), "forecast"
    elif data is None:
        figure, name = model.history_.plot(), "loss"
    elif model.task == "transcriber":
        figure, name = transcript(model, Path(data)), Path(data).stem
    else:
        figure, name = predictions(model, read_for(model, data, with_targets=True)), "predictions"
    output = output or Path(f"{file.stem}-{name}.png")
    save_figure(figure, output)
    print(output)


@app.command()
def doctor() -> None:
    """Say which versions, processor and kernels there are, and which kernel would run, and why.

    Example: bilstm doctor
    """
    from bilstm.doctor import diagnose

    for title, lines in diagnose():
        print(title)
        for name, found in lines:
            print(f"  {name:<20}{found}")


add_see_commands(app)
add_report_command(app)
app.command()(serve)
app.command()(export)


def read_for(model: Any, data: str, *, with_targets: bool = False) -> Dataset:
    """DATA as the model needs it: a file, or a built-in set by name."""
    builtin = builtin_named(data)
    if builtin is None:
        rows: Dataset = model.read(data, with_targets=with_targets)
        return rows
    return builtin


def builtin_named(data: str, drop: Sequence[str] = ()) -> Dataset | None:
    """The built-in set of that name; None where a file of that name lies, or there is no such set."""
    from bilstm.data.builtin import BUILTIN

    return BUILTIN[data](drop) if data in BUILTIN and not Path(data).is_file() else None


def write_text(path: Path, text: str) -> None:
    """Write a file, or say why not."""
    try:
        path.write_text(text, encoding="utf-8", newline="")  # line ends stay what they are
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}", hint="choose another file") from None


def made_folder(path: Path) -> Path:
    """A folder that is there, made if need be; or why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {path}: {error.strerror}", hint="choose another folder") from None
    return path


def print_figures(figures: Mapping[str, Any], as_json: bool) -> None:
    """Figures of merit, one a line, or as one JSON object, which knows neither NaN nor infinity."""
    if as_json:
        print(json.dumps({n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in figures.items()}))
        return
    width = max(12, *map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}{value:>12.6g}")


def talk(text: str) -> None:
    """A line of talk: to stderr."""
    print(text, file=sys.stderr)


def _words_to_complete() -> list[str]:
    """The command line so far, where a shell asks what may follow: bash's variable, or that of other shells."""
    return [word for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS") for word in os.environ.get(name, "").split()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and turn mistakes into one short paragraph and an exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = with_ray_address([word for word in arguments if word != "--debug"])  # it may stand anywhere
    warnings.showwarning = lambda message, *_: talk(f"note: {message}")
    try:
        words = arguments or _words_to_complete()
        add_fit_commands(app, words)
        add_tune_commands(app, words)
        app(arguments)
    except BilstmError as error:
        if debug:
            raise
        talk(f"error: {error}")
        sys.exit(2 if isinstance(error, ParameterError) else 1)
    except KeyboardInterrupt:
        talk("interrupted")
        sys.exit(1)
    except BrokenPipeError:  # the reader of our stdout has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        talk(f"error: {type(error).__name__}: {error}\nhint: this was not foreseen; --debug shows where it happened")
        sys.exit(1)


if __name__ == "__main__":
    main()
