"""The five demonstrations' models as ONNX give what the networks give in float64, at any batch, length and padding."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import log_softmax, softmax

from bilstm.data.batch import Sequences
from bilstm.data.builtin import boston, digits, sunspots
from bilstm.data.series.windows import windows_at
from bilstm.demo.invented import invented_sentences
from bilstm.demo.tones import dial_tones
from bilstm.export.check import feed
from tests.compare import assert_close
from tests.export import exact, models
from tests.export.models import Truth, run, some_lengths, some_steps

pytest.importorskip("onnxruntime")

BATCHES = [1, 3, 17]
LENGTHS = [1, 7, 40]
three_by_three = pytest.mark.parametrize("B", BATCHES), pytest.mark.parametrize("T", LENGTHS)


def at_three_sizes(test):
    for mark in three_by_three:
        test = mark(test)
    return test


def with_garbage(values, lengths):
    """Anything in the padding: what stands there must not matter."""
    outside = np.arange(values.shape[1]) >= np.asarray(lengths)[:, None]
    values = values.copy()
    values[outside] = np.array([np.nan, 1e30, -3.0])[np.arange(outside.sum()) % 3].reshape(-1, *[1] * (values.ndim - 2))
    return values


@at_three_sizes
def test_the_regressor(B, T):
    model, data = models.regressor(), some_steps(boston(), some_lengths(B, T))
    inputs = feed(model, data)
    inputs["numbers"] = with_garbage(inputs["numbers"], data.lengths)
    truth = Truth(model, model.encode(data).whole)
    found = run(model, inputs)["predictions"]
    assert found.dtype == np.float64
    assert_close((found - model.scaler_.mean) / model.scaler_.scale, truth.value, atol=truth.allowed)


@at_three_sizes
def test_the_classifier(B, T):
    model, data = models.classifier(), some_steps(digits(), some_lengths(B, T))
    inputs = feed(model, data)
    inputs["numbers"] = with_garbage(inputs["numbers"], data.lengths)
    truth = Truth(model, model.encode(data).whole, lambda scores: softmax(scores / model.temperature_, axis=1))
    found = run(model, inputs)
    assert_close(found["probabilities"], truth.value, atol=truth.allowed)
    assert_close(found["label"], truth.value.argmax(axis=1))


@at_three_sizes
def test_the_tagger(B, T):
    model, data = models.tagger(), some_steps(invented_sentences(50, language="chinese", seed=9), some_lengths(B, T))
    inputs, lengths = feed(model, data), torch.from_numpy(data.lengths)
    outside = np.arange(T) >= data.lengths[:, None]
    inputs["words"][outside] = np.arange(outside.sum()) % len(inputs["forms"])  # real words in the padding
    batch = model.encode(data).whole
    truth = Truth(model, batch)
    found, inside = run(model, inputs), ~outside
    assert_close(found["scores"][inside], truth.value[inside], atol=truth.allowed)
    assert_close(found["tags"], model.crf_layer.decode(torch.from_numpy(truth.value), lengths)[0])


@pytest.mark.parametrize("history", [11, 22, 33])  # as long as a window is, which the linear map fixes
@pytest.mark.parametrize("B", BATCHES)
def test_the_forecaster(B, history):
    model = models.forecaster(history)
    windows = windows_at(sunspots().prolonged(5), np.arange(250, 250 + B)[::-1], history, 5)
    encoder = model.encoder_
    truth = Truth(model, model.encode(windows).whole)
    found = run(model, feed(model, windows))
    z = (found["forecast"] - encoder.mean) / encoder.scale
    assert_close(z.reshape(B, -1), truth.value, atol=truth.allowed)
    own = model._judged(windows, truth.value)
    for name, bounds in (("low", own.lows), ("high", own.highs)):
        assert_close(found[name] / encoder.scale, bounds / encoder.scale, atol=2 * truth.allowed, what=name)


@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.2])
def test_the_transcriber(B, seconds):
    model, rate = models.transcriber(), 8000
    lengths = np.array(some_lengths(B, int(rate * seconds)))
    samples = np.concatenate(dial_tones(10 * B, seed=3)[0])[: B * lengths.max()].reshape(B, -1)
    features = [model.sound_.transform(row[:length]) for row, length in zip(samples, lengths, strict=True)]
    steps = np.array([len(one) for one in features])
    batch = Sequences(np.concatenate(features), steps).whole
    true = [
        torch.from_numpy(exact.steps(model.sound_, row[:length])) for row, length in zip(samples, lengths, strict=True)
    ]
    values = torch.nn.utils.rnn.pad_sequence(true, batch_first=True)
    truth = Truth(model, batch, lambda scores: log_softmax(scores, axis=2), values)
    found = run(model, {"samples": with_garbage(samples, lengths), "lengths": lengths})
    assert_close(found["steps"], steps)
    inside = np.arange(values.shape[1]) < steps[:, None]
    assert_close(found["log_probabilities"][inside], truth.value[inside], atol=truth.allowed)


# --- real inputs: the same answers ---------------------------------------------------------------------------


def test_every_house_has_its_price():
    model = models.regressor()
    assert_close(run(model, feed(model, boston()))["predictions"][:, 0], model.predict(boston()), rtol=1e-5)


def test_every_digit_has_the_same_label():
    model = models.classifier()
    assert_close(model.classes_[run(model, feed(model, digits()))["label"]], model.predict(digits()))


def test_every_word_has_the_same_tag():
    model, data = models.tagger(), invented_sentences(300, language="chinese", seed=5)
    found = run(model, feed(model, data))["tags"]
    names = [model.classes_[tags[:length]].tolist() for tags, length in zip(found, data.lengths, strict=True)]
    assert names == model.predict(data)


def test_the_next_years_have_the_same_forecast_and_bounds():
    model = models.forecaster()
    own = model.predict()
    windows = windows_at(model.known_.prolonged(5), np.array([len(model.known_.times) - 1]), 33, 5)
    found = run(model, feed(model, windows))
    columns = [found["forecast"][0], *(found[end][level, 0] for level in (0, 1) for end in ("low", "high"))]
    assert_close(np.concatenate(columns, axis=1), own.select(pl.exclude("year")).to_numpy(), atol=1e-4)


def test_every_recording_has_the_same_text():
    model, (sounds, _) = models.transcriber(), dial_tones(30, seed=8)
    found = run(model, feed(model, sounds))
    scores = [one[:count] for one, count in zip(found["log_probabilities"], found["steps"], strict=True)]
    lengths = np.array([len(one) for one in scores])
    assert model.decode(np.concatenate(scores), lengths) == model.predict(sounds, beam=1)
