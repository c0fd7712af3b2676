"""The classifier on text: words, vectors, several labels a text, calibration, and mistakes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax
from sklearn.metrics import f1_score

import bilstm
from bilstm import BiLSTMClassifier, BiLSTMRegressor, evaluate
from bilstm.data.text.reader import from_texts
from bilstm.errors import DataError, ParameterError
from bilstm.metrics.predictions import calibration_error
from bilstm.networks.network import POOLING_NAMES
from tests.compare import assert_close
from tests.models import split_as_by_fit

SMALL = {"hidden_size": 8, "embedding_size": 8, "char_hidden_size": 4, "max_epochs": 8} | {
    "batch_size": 4,
    "learning_rate": 0.01,
    "embedding_dropout": 0.1,
    "pooling": "max",
}
GOOD, BAD, REST = ["great", "lovely", "superb"], ["awful", "boring", "poor"], ["film", "story", "the", "a", "very"]


def reviews(count=120, seed=0):
    generator = np.random.default_rng(seed)
    texts, labels = [], []
    for n in range(count):
        words = [*generator.choice(REST, generator.integers(1, 6)), generator.choice([BAD, GOOD][n % 2])]
        texts.append(" ".join(generator.permutation(words)))
        labels.append(["bad", "good"][n % 2])
    return texts, labels


@pytest.fixture(scope="module")
def fitted():
    return BiLSTMClassifier(**SMALL).fit(*reviews())


def test_it_learns_from_texts_and_from_lists_of_words(fitted):
    texts, labels = reviews(40, seed=1)
    assert np.mean(fitted.predict(texts) == np.array(labels)) > 0.95
    words = BiLSTMClassifier(**SMALL).fit([text.split() for text in reviews()[0]], reviews()[1])
    assert_close(words.predict_proba([t.split() for t in texts]), fitted.predict_proba(texts), atol=1e-6)


@pytest.mark.parametrize("pooling", POOLING_NAMES)
def test_every_pooling_reads_text_and_neither_batch_mates_nor_empty_texts_matter(pooling):
    texts, labels = reviews(60)
    model = BiLSTMClassifier(**SMALL | {"max_epochs": 3, "pooling": pooling}).fit(texts, labels)
    X = ["great film", "", "awful " * 500, "北京 👍"]
    together = model.predict_proba(X)
    assert np.isfinite(together).all()
    for text, row in zip(X, together, strict=True):
        assert_close(model.predict_proba([text])[0], row, atol=1e-6)


def test_a_loaded_model_reads_raw_text_in_the_same_way(fitted, tmp_path):
    fitted.save(tmp_path / "m.bilstm")
    again = bilstm.load(tmp_path / "m.bilstm")
    assert_close(again.predict_proba(["a GREAT film!"]), fitted.predict_proba(["a GREAT film!"]), atol=1e-9)
    assert_close(again.temperature_, fitted.temperature_)


def test_a_text_may_have_several_labels(tmp_path):
    generator = np.random.default_rng(0)
    topics = ["art", "law", "sea"]
    y = [[t for t in topics if generator.random() < 0.5] for _ in range(200)]
    X = [" ".join(["note", *labels, "end"]) for labels in y]
    model = BiLSTMClassifier(**SMALL | {"max_epochs": 20}).fit(X, y)
    assert model.classes_.tolist() == topics
    assert model.predict(["note law sea end", "note end"]) == [["law", "sea"], []]
    figures = evaluate(model, from_texts(X, pl.DataFrame({"y": y})))
    truth = np.array([[t in labels for t in topics] for labels in y])
    assert_close(figures["f1_macro"], f1_score(truth, model.predict_proba(X) >= 0.5, average="macro"), rtol=1e-9)
    model.save(tmp_path / "m.bilstm")
    assert bilstm.load(tmp_path / "m.bilstm").predict(X[:5]) == model.predict(X[:5])
    with pytest.raises(DataError, match="expected a known class, got 'sky'"):
        evaluate(model, from_texts(["a"], pl.DataFrame({"y": [["sky"]]})))
    with pytest.raises(ParameterError, match="expected no class_weight beside lists of labels"):
        BiLSTMClassifier(**SMALL, class_weight="balanced").fit(X, y)


def test_the_temperature_is_the_best_one_for_the_held_out_part():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 3))
    y = (X[:, 0] + generator.normal(size=400) > 0).astype(int)
    model = BiLSTMClassifier(hidden_size=32, max_epochs=40, input_noise=0, validation_fraction=0.3).fit(X, y)
    assert model.temperature_ != 1
    _, held_out = split_as_by_fit(model, bilstm.Dataset.from_arrays(X, y))
    scores, truth = model.outputs(held_out), held_out.target_values
    losses = {
        t: -np.log(softmax(scores / t, axis=1)[np.arange(len(truth)), truth]).mean()
        for t in model.temperature_ * np.array([0.9, 1.0, 1.1])
    }
    assert min(losses, key=losses.get) == model.temperature_
    assert_close(model.metrics_["log_loss"], losses[model.temperature_], rtol=1e-5)


def test_calibration_error_is_the_mean_gap_between_promise_and_truth():
    generator = np.random.default_rng(0)
    confidence, right = generator.uniform(0.3, 1, 200), generator.random(200) < 0.7
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert_close(calibration_error(confidence, right), expected, atol=1e-12)
    assert_close(calibration_error(np.ones(3), np.ones(3, dtype=bool)), 0.0)


def test_texts_that_cannot_be_learned_from_are_refused():
    with pytest.raises(DataError, match="expected text, got none in any row"):
        BiLSTMClassifier(**SMALL).fit(["", " "] * 20, ["a", "b"] * 20)
    with pytest.raises(DataError, match="expected numbers, got text"):
        BiLSTMRegressor().fit(["a b", "c"] * 10, list(range(20)))
    model = BiLSTMClassifier(**SMALL).fit(*reviews(20))
    for given, kind in (("great", "one text"), (5, "int")):
        with pytest.raises(DataError, match=f"expected a list of texts, got {kind}"):
            model.predict(given)
