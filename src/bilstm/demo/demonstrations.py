"""The demonstrations: a real task from data to model, files and figures, in one call. Knows what to show a newcomer.

Each writes its files into a folder, and says each line of its story.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bilstm.data.builtin import boston, digits, sunspots
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.sound.recordings import read_recordings
from bilstm.demo.files import as_conll
from bilstm.demo.invented import invented_sentences
from bilstm.demo.tones import write_dial_tones
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.metrics.predictions import evaluate, regression_metrics
from bilstm.plotting.figures import save_figure
from bilstm.report.plots import confusion, forecasts, predicted_against_true, transcript

Say = Callable[[str], None]
CLASSIC_EPOCHS = 10_000
SUN_CYCLE = 11  # years from one maximum to the next, about
FOLDS = 4  # parts of the sun's history that are forecast, of two cycles each
HELD_OUT = 0.2  # share of the rows that the demonstrations never train on


def regressor(folder: Path, say: Say, epochs: int = CLASSIC_EPOCHS) -> None:
    """The classic introduction, done properly: Boston housing, 4 layers of 32, 10,000 full-batch epochs of Adam."""
    data = boston()
    training, held_out = _split(data, strata=None)
    say(
        f"Boston housing: {len(data)} rows, {len(data.feature_names)} features, price medv in 1,000 $. "
        f"{len(training)} rows to learn from, {len(held_out)} held out."
    )
    model = BiLSTMRegressor(
        hidden_size=32,
        num_layers=4,
        dropout=0.0,
        learning_rate=0.001,
        schedule="constant",
        clip_norm=None,
        batch_size=None,
        max_epochs=epochs,
        validation_fraction=0.0,
        verbose=max(1, min(100, epochs // 2)),
    )
    _fit(model, training, say)
    predicted, truth = model.predict(held_out), held_out.target_values
    say(f"{'held-out error':<34}{'RMSE':>8}{'MAE':>8}{'R²':>8}")
    for name, values in _rivals_of_prices(training, held_out, predicted, epochs).items():
        errors = regression_metrics(truth, values)
        say(f"{name:<34}{errors['rmse']:>8.2f}{errors['mae']:>8.2f}{errors['r2']:>8.3f}")
    say(
        "\nSo many epochs learn the training rows by heart (see the loss); the last line sets a part of them aside\n"
        "and keeps the epoch that was best on it."
    )
    middle = int(np.argsort(np.abs(predicted - truth))[len(truth) // 2])
    said = f"predicted {predicted[middle]:.1f}, true {truth[middle]:.1f} thousand dollars"
    say(f"\nOne held-out house (an error of the middling kind): {said}.\n")
    model_file, table = folder / "boston.bilstm", folder / "predictions.csv"
    _write_table(held_out, {"predicted_medv": predicted}, table)
    compared = predicted_against_true(truth, predicted, "medv", "1,000 $")
    commands = [
        f"bilstm plot {model_file} -o curve.png",
        f"bilstm predict {model_file} {table}",
        f"bilstm evaluate {model_file} {table} --json",
        "bilstm fit regressor boston -o mine.bilstm --hidden-size 128",
        "bilstm fit regressor --help",
    ]
    _finish(model, model_file, {"loss": model.history_.plot(), "predictions": compared}, say, commands)


def classifier(folder: Path, say: Say, epochs: int = 30) -> None:
    """Handwritten digits as sequences of eight rows of eight pixels."""
    data = digits()
    training, held_out = _split(data, strata=data.target_values)
    say(
        f"Digits: {len(data)} images, each read as {data.lengths[0]} steps of {len(data.feature_names)} pixels. "
        f"{len(training)} to learn from, {len(held_out)} held out."
    )
    model = BiLSTMClassifier(max_epochs=epochs, verbose=1)
    _fit(model, training, say)
    predicted, truth = model.predict(held_out), held_out.target_values
    X, X_new = (np.stack([s.ravel() for s in part.sequences]) for part in (training, held_out))
    y, logistic = training.target_values, make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    say(f"{'held-out images':<34}{'accuracy':>10}")
    for name, accuracy in {
        "always the commonest digit": DummyClassifier().fit(X, y).score(X_new, truth),
        "logistic regression on 64 pixels": logistic.fit(X, y).score(X_new, truth),
        "this BiLSTM": evaluate(model, held_out)["accuracy"],
    }.items():
        say(f"{name:<34}{accuracy:>10.4f}")
    probability = model.predict_proba(held_out).max(axis=1)
    doubtful = int(probability.argmin())
    said = f"predicted {predicted[doubtful]} with probability {probability[doubtful]:.2f}, true {truth[doubtful]}"
    say(f"\nThe image it doubts most: {said}.\n")
    model_file = folder / "digits.bilstm"
    _write_table(held_out, {"predicted_digit": predicted, "probability": probability}, folder / "predictions.csv")
    commands = [
        f"bilstm plot {model_file} -o curve.png",
        f"bilstm evaluate {model_file} digits --json",
        "bilstm fit classifier digits -o mine.bilstm --hidden-size 128",
        "bilstm fit classifier --help",
    ]
    figures = {"loss": model.history_.plot(), "confusion": confusion(truth, predicted, model.classes_)}
    _finish(model, model_file, figures, say, commands)


def tagger(folder: Path, say: Say, epochs: int = 8) -> None:
    """Persons, places and firms in Chinese sentences that are made up, one character a word."""
    data = invented_sentences(1500, language="chinese")
    training, held_out = data.take(range(1200)), data.take(range(1200, 1500))
    for name, part in (("train", training), ("held_out", held_out)):
        (folder / f"{name}.conll").write_text(as_conll(part), encoding="utf-8")
    say(
        f"Chinese sentences, made up, with names that are new in every one: {training.steps.height:,} characters to "
        f"learn from, {held_out.steps.height:,} held out. A real text is much harder."
    )
    model = BiLSTMTagger(hidden_size=64, max_epochs=epochs, verbose=1)
    _fit(model, training, say)
    assert training.tags is not None
    assert held_out.tags is not None
    figures, tags, true_tags = evaluate(model, held_out), training.tags.to_series(), held_out.tags.to_series()
    guess = DummyClassifier().fit(np.zeros((len(tags), 1)), tags).score(np.zeros((len(true_tags), 1)), true_tags)
    say(f"{'held-out sentences':<34}{'accuracy':>10}{'entity f1':>10}")
    say(f"{'always the commonest tag':<34}{guess:>10.4f}{0:>10.4f}")
    say(f"{'this BiLSTM-CRF':<34}{figures['accuracy']:>10.4f}{figures['f1']:>10.4f}\n")
    say(model.report(held_out) + "\n")
    text = "王小明昨天在安平市见到了李秀霞。"
    for entity in model.entities([text])[0]:
        say(f"{entity.text}  {entity.type}  {entity.probability:.3f}  (characters {entity.start} to {entity.end})")
    model_file, held = folder / "names.bilstm", folder / "held_out.conll"
    say("")
    commands = [
        f'echo "{text}" | bilstm predict {model_file} -',
        f"bilstm predict {model_file} {held}",
        f"bilstm evaluate {model_file} {held}",
        f"bilstm fit tagger {folder / 'train.conll'} -o mine.bilstm --hidden-size 128",
    ]
    _finish(model, model_file, {"loss": model.history_.plot()}, say, commands)


def forecaster(folder: Path, say: Say, epochs: int = 20) -> None:
    """Three hundred years of sunspots: a walk through the last of them, then the years to come."""
    data = sunspots()
    years = data.times.cast(pl.Int64).to_list()
    say(
        f"Sunspots: yearly means of {years[0]} to {years[-1]}, which rise and fall about every {SUN_CYCLE} years. "
        f"{3 * SUN_CYCLE} years are read from both ends, 5 years are forecast."
    )
    model = BiLSTMForecaster(
        history=3 * SUN_CYCLE, horizon=5, season=SUN_CYCLE, batch_size=64, max_epochs=epochs, verbose=1
    )
    steps = 2 * SUN_CYCLE
    say(f"\nWould it have been of use? {FOLDS} folds of {steps} years, each forecast by a model of what came before:")
    started = time.perf_counter()
    walked = model.backtest(data, folds=FOLDS, steps=steps)
    say(f"{len(walked)} forecasts in {time.perf_counter() - started:.1f} s.\n\n{walked.report()}")
    say(
        "\nThe linear model is a ridge regression on the same years, and part of the forecaster: where there is\n"
        "nothing beyond it to be learned for sure, as in so short a series, the forecaster adds little to it.\n"
    )
    model.keeps_interrupted = False
    model.fit(data)
    coming = model.predict().with_columns(pl.col("year").cast(pl.Int64))
    say(f"\nThe years after the last: {'sunspots':>12}{'80 % interval':>20}")
    for year, middle, low, high in coming.select(coming.columns[:4]).iter_rows():
        say(f"{year:>24}  {middle:>12.0f}{f'{low:.0f} to {high:.0f}':>20}")
    say("What came is not in the data. Intervals do not know that nothing is below zero.\n")
    past = walked.frame().with_columns(pl.col("made_at", "time").cast(pl.Int64))
    past.write_csv(folder / "backtest.csv", float_precision=2)
    coming.write_csv(folder / "predictions.csv", float_precision=2)
    model_file = folder / "sunspots.bilstm"
    commands = [
        f"bilstm predict {model_file}",
        f"bilstm plot {model_file} sunspots -o sunspots.png",
        f"bilstm evaluate {model_file} sunspots --folds 2 --steps 22",
        "bilstm fit forecaster sunspots --season 11 --history 44 --horizon 3 -o mine.bilstm",
        "bilstm fit forecaster --help",
    ]
    _finish(model, model_file, {"forecast": forecasts(model)}, say, commands)


def transcriber(folder: Path, say: Say, epochs: int = 16) -> None:
    """The tones of a telephone's keys in noise, to digits in words: sounds that the package makes itself."""
    learned, unheard = write_dial_tones(folder / "train", 400), write_dial_tones(folder / "test", 100, seed=1)
    training, held_out = read_recordings(learned), read_recordings(unheard)
    say(
        f"Dialled digits: {len(training)} recordings of one to five keys, each the sum of two tones in noise, to learn "
        f"from, {len(held_out)} held out. Nobody says when a digit is dialled."
    )
    model = BiLSTMTranscriber(
        hidden_size=64,
        num_layers=2,
        mels=24,
        stack=1,
        learning_rate=0.004,
        max_epochs=epochs,
        speed_change=0.0,  # a tone of another height is another key
        masks=False,
        verbose=1,
    )
    model.keeps_interrupted = False
    comparison = model.fit(training).compare(held_out)
    say(f"\n{comparison.alignment()}\n")
    say("of the held-out words {wer:.2%} are wrong, of the characters {cer:.2%}\n".format(**comparison.metrics))
    sound = folder / "test" / held_out.names[0]
    for word in model.transcribe([sound])[0].words:
        say(f"{word.start:6.2f} to {word.end:4.2f} s  {word.text:<8}{word.confidence:.3f}")
    model_file = folder / "tones.bilstm"
    say("")
    commands = [
        f"bilstm predict {model_file} {sound}",
        f"bilstm evaluate {model_file} {unheard} --look-ahead 0.1",
        f"bilstm plot {model_file} {sound} -o transcript.png",
        f"bilstm fit transcriber {learned} -o mine.bilstm --stack 1 --speed-change 0 --no-masks --hidden-size 64",
        "bilstm fit transcriber --help",
    ]
    _finish(model, model_file, {"loss": model.history_.plot(), "transcript": transcript(model, sound)}, say, commands)


DEMOS = {demo.__name__: demo for demo in (regressor, classifier, tagger, forecaster, transcriber)}


def _split(data: Dataset, strata: Array | None) -> tuple[Dataset, Dataset]:
    rows, others = train_test_split(np.arange(len(data)), test_size=HELD_OUT, random_state=0, stratify=strata)
    return data.take(np.sort(rows)), data.take(np.sort(others))


def _write_table(data: Dataset, columns: dict[str, Array], path: Path) -> None:
    """The held-out rows with truth and prediction; of sequences, truth and prediction only."""
    assert data.targets is not None
    frame = data.targets.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    if data.is_table:
        frame = pl.concat([data.steps, frame], how="horizontal")
    frame.write_csv(path, float_precision=None)


def _rivals_of_prices(training: Dataset, held_out: Dataset, predicted: Array, epochs: int) -> dict[str, Array]:
    """What simple rules say of the held-out houses, and this BiLSTM, and one with the defaults."""
    X, y, X_new = training.steps.to_numpy(), training.target_values, held_out.steps.to_numpy()
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
    return {
        "the mean of the training prices": DummyRegressor().fit(X, y).predict(X_new),
        "ridge regression": ridge.fit(X, y).predict(X_new),
        "this BiLSTM": predicted,
        "BiLSTMRegressor() as it comes": BiLSTMRegressor(max_epochs=min(200, epochs)).fit(training).predict(held_out),
    }


def _fit(model: BiLSTMEstimator, training: Dataset, say: Say) -> None:
    started = time.perf_counter()
    model.keeps_interrupted = False  # Ctrl-C ends the demonstration
    model.fit(training)
    seconds, epochs = time.perf_counter() - started, len(model.history_)
    say(f"{epochs:,} epochs in {seconds:.1f} s ({1000 * seconds / epochs:.2f} ms each).\n")


def _finish(model: BiLSTMEstimator, path: Path, figures: dict[str, Figure], say: Say, commands: list[str]) -> None:
    """Save the model and its figures; say what was written, and what may be done with it."""
    model.save(path)
    for name, figure in figures.items():
        save_figure(figure, path.with_name(f"{name}.png"))
    say(f"In {path.parent}: {', '.join(sorted(file.name for file in path.parent.iterdir()))}\n")
    say("\n  ".join(["Try next:", *commands]))
