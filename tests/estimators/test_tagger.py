"""The tagger: learning, probabilities, entities, independence, files, and every kind of bad input."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score

import bilstm
from bilstm import BiLSTMTagger, evaluate, read_sentences
from bilstm.data.text.reader import from_words
from bilstm.errors import DataError, DataWarning, ParameterError
from bilstm.training.checkpoint import State
from bilstm.training.history import History
from tests.compare import assert_close
from tests.models import assert_same_model
from tests.tag_schemes import in_iobes

SMALL = {"hidden_size": 12, "embedding_size": 10, "char_hidden_size": 5, "max_epochs": 12, "min_count": 1} | {
    "batch_size": 4,
    "learning_rate": 0.01,
    "dropout": 0.1,
    "embedding_dropout": 0.2,
    "word_dropout": 0.05,
}
NAMES, PLACES = ["Ann", "Bob Ray", "Cy", "Dee Ann Lee"], ["Rome", "New York", "Bonn", "Oslo"]


def sentences(count=60, seed=0):
    """Who lives where: names of one to three words."""
    generator = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(count):
        name, place = generator.choice(NAMES).split(), generator.choice(PLACES).split()
        X.append([*name, "lives", "in", *place, *["now", "."][: generator.integers(3)]])
        tags = ["B-PER", *["I-PER"] * (len(name) - 1), "O", "O", "B-LOC", *["I-LOC"] * (len(place) - 1)]
        y.append(tags + ["O"] * (len(X[-1]) - len(tags)))
    return X, y


@pytest.fixture(scope="module")
def fitted():
    X, y = sentences()
    return BiLSTMTagger(**SMALL).fit(X, y)


def test_it_learns_and_measures_as_seqeval_does(fitted):
    X, y = sentences(30, seed=1)
    figures = evaluate(fitted, from_words(X, y))
    assert figures["f1"] > 0.9
    assert_close(figures["f1"], f1_score(y, fitted.predict(X)), rtol=1e-12)
    assert_close(fitted.score(X, y), figures["f1"])
    assert (figures["n"], figures["tokens"]) == (30, sum(map(len, X)))
    assert fitted.metric_name == "f1"
    assert "PER" in fitted.report(X, y)


def test_probabilities_of_tags_sequences_and_entities_agree_with_all_paths(fitted):
    X = ["Ann met Cy", "Rome"]
    fitted_tags = fitted.classes_.tolist()
    for text, marginals, tags, entities, best in zip(
        X, fitted.predict_proba(X), fitted.predict(X), fitted.entities(X), fitted.best(X, n=4), strict=True
    ):
        paths = {}
        emissions = torch.from_numpy(fitted.outputs([text]))[None]
        T = emissions.shape[1]
        for path in itertools.product(range(len(fitted_tags)), repeat=T):
            loss = fitted.crf_layer(emissions, torch.tensor([path]), [T])
            paths[path] = float((-loss.double()).exp().detach())
        assert_close(sum(paths.values()), 1.0, atol=1e-5)
        for t, k in itertools.product(range(T), range(len(fitted_tags))):
            assert_close(marginals[t, k], sum(p for path, p in paths.items() if path[t] == k), atol=1e-5)
        ranked = sorted(paths, key=paths.get, reverse=True)
        assert [fitted_tags[k] for k in ranked[0]] == tags == best[0][0]
        assert_close([p for _, p in best], [paths[path] for path in ranked[: len(best)]], atol=1e-5)
        assert entities, text
        for entity in entities:
            chance = 0.0
            for path, p in paths.items():
                named = [fitted_tags[k] for k in path]
                if (entity.type, entity.first, entity.last) in bilstm.data.text.tags.entities(named):
                    chance += p
            assert_close(entity.probability, chance, atol=1e-5)
            assert text[entity.start : entity.end] == entity.text


def test_without_a_crf_every_word_is_tagged_alone_and_probabilities_are_a_softmax():
    X, y = sentences()
    model = BiLSTMTagger(**SMALL, crf=False).fit(X, y)
    assert model.score(*sentences(30, seed=1)) > 0.8
    for row, tags in zip(model.predict_proba(X[:3]), model.predict(X[:3]), strict=True):
        assert_close(row.sum(axis=1), np.ones(len(row)), atol=1e-5)
        assert model.classes_[row.argmax(axis=1)].tolist() == tags
    assert all(0 < entity.probability <= 1 for row in model.entities(X[:3]) for entity in row)
    with pytest.raises(ParameterError, match="expected a model with a CRF for the best sequences"):
        model.best(X)


def test_a_sentence_does_not_depend_on_its_batch_mates(fitted):
    X, _ = sentences(25, seed=2)
    X.append(["word"] * 300)
    together, probabilities = fitted.predict(X), fitted.predict_proba(X)
    for sentence, tags, marginals in zip(X, together, probabilities, strict=True):
        assert fitted.predict([sentence]) == [tags]
        assert_close(fitted.predict_proba([sentence])[0], marginals, atol=1e-6)


def test_a_loaded_model_is_the_same(fitted, tmp_path):
    X, _ = sentences(10, seed=3)
    fitted.save(tmp_path / "m.bilstm")
    again = bilstm.load(tmp_path / "m.bilstm")
    assert again.history_.keeps_best_metric is fitted.history_.keeps_best_metric is True
    assert again.predict(X) == fitted.predict(X)
    assert again.entities(["Ann lives in Rome"]) == fitted.entities(["Ann lives in Rome"])
    for found, was in zip(again.predict_proba(X), fitted.predict_proba(X), strict=True):
        assert_close(found, was)


def test_equal_seeds_give_equal_models(fitted):
    again = BiLSTMTagger(**SMALL).fit(*sentences())
    assert_same_model(again, fitted)


def test_pre_trained_vectors_are_kept_in_the_model_and_never_trained(tmp_path):
    (tmp_path / "v.txt").write_text("ann 1 2 3\nberlin 4 5 6\n")
    model = BiLSTMTagger(**SMALL, vectors=tmp_path / "v.txt").fit(*sentences())
    assert_close(model.network_.reader.vectors, np.array([[0, 0, 0], [1, 2, 3], [4, 5, 6]], dtype=np.float32))
    model.save(tmp_path / "m.bilstm")
    (tmp_path / "v.txt").unlink()
    assert bilstm.load(tmp_path / "m.bilstm").predict(["Ann is in Berlin"]) == model.predict(["Ann is in Berlin"])


def test_tags_of_no_scheme_are_learned_too():
    X = [["the", "dog", "runs"], ["a", "cat", "sleeps"]] * 10
    y = [["DET", "NOUN", "VERB"]] * 20
    model = BiLSTMTagger(**SMALL).fit(X, y)
    assert model.metric_name == "accuracy"
    assert model.predict([["a", "dog", "sleeps"]]) == [["DET", "NOUN", "VERB"]]
    assert set(model.metrics_) == {"accuracy", "n", "tokens"}
    with pytest.raises(ParameterError, match="expected a model of BIO or IOBES tags, got tags such as 'DET'"):
        model.entities(X)


def test_only_valid_sequences_are_predicted_even_by_an_untrained_model():
    X, y = sentences(20)
    model = BiLSTMTagger(**SMALL | {"max_epochs": 1}).fit(X, y)
    for tags in model.predict([[w[::-1] for w in s] for s in X]):
        assert bilstm.data.text.tags.repair(tags)[1] == 0


def test_iob1_and_iobes_are_understood():
    X, y = sentences()
    iob1 = [[tag.replace("B-", "I-") for tag in tags] for tags in y]
    model = BiLSTMTagger(**SMALL).fit(X, iob1)
    assert (model.scheme_, model.repaired_) == ("bio", 0)
    assert model.predict([["Ann", "lives", "in", "Rome"]]) == [["B-PER", "O", "O", "B-LOC"]]
    model = BiLSTMTagger(**SMALL).fit(X, [in_iobes(tags) for tags in y])
    assert model.scheme_ == "iobes"
    assert model.predict([["Bob", "Ray", "lives", "in", "Bonn"]])[0][:2] == ["B-PER", "E-PER"]


# -- bad input -------------------------------------------------------------------------------------------------


def test_tags_that_break_bio_are_counted_repaired_and_reported():
    X, y = sentences()
    y[0] = ["I-PER", *y[0][1:]]
    with pytest.warns(DataWarning, match=r"1 of \d+ tags broke the BIO scheme and were repaired"):
        model = BiLSTMTagger(**SMALL).fit(X, y)
    assert model.repaired_ == 1
    assert np.isfinite(model.history_["loss"]).all()


def test_empty_sentences_lose_nothing(fitted):
    assert fitted.predict([[], ["Ann"], []]) == [[], ["B-PER"], []]
    assert fitted.predict([""]) == [[]]
    assert [len(row) for row in fitted.predict_proba(["", "Ann in"])] == [0, 2]
    assert fitted.entities(["", "Ann"])[0] == []
    X, y = sentences(20)
    model = BiLSTMTagger(**SMALL).fit([*X, []], [*y, []])
    assert np.isfinite(model.history_["loss"]).all()
    with pytest.raises(DataError, match="expected at least one sequence"):
        fitted.predict([])


def test_a_sentence_of_ten_thousand_words_is_tagged(fitted):
    long = ["Ann", "lives", "in", "Rome", "."] * 2000
    tags = fitted.predict([long, ["Ann"]])
    assert [len(row) for row in tags] == [10_000, 1]
    assert tags[0].count("O") > 4000


def test_words_of_ten_thousand_characters_and_unknown_characters_are_words(fitted):
    assert [len(tags) for tags in fitted.predict([["x" * 10_000, "北", "\u200b"]])] == [3]


def test_a_tag_that_training_lacked_is_an_error_of_the_model_and_is_told(fitted):
    data = from_words([["Ann", "saw", "IBM"]], [["B-PER", "O", "B-ORG"]])
    with pytest.warns(DataWarning, match="1 tags were not seen in training and cannot be predicted: B-ORG"):
        assert evaluate(fitted, data)["accuracy"] <= 2 / 3
    with pytest.warns(DataWarning, match="B-ORG"):
        model = BiLSTMTagger(**SMALL | {"max_epochs": 2}).fit(*sentences(20), validation=data)
    assert np.isfinite(model.history_["validation_loss"]).all()


@pytest.mark.parametrize(
    "X, y, message",
    [
        (["Ann ran"] * 4, [["O", "O"]] * 4, "expected sentences as lists of words beside their tags, got text"),
        ([["Ann"]] * 4, [["O", "O"]] * 4, "expected a tag for each of 1 words"),
        ([["Ann"]] * 4, [["O"]] * 4, "expected at least two tags, got 'O' at every word"),
        ([["Ann"]] * 4, None, "requires y"),
        (np.zeros((4, 2)), [["O"]] * 4, r"expected a list of words, got an array of shape \(2,\) \(X, sentence 0\)"),
        ([["Ann"]], [["O"]], "expected at least 2 sequences"),
        ([[]] * 4, [[]] * 4, "expected sentences of words, got no word in any of them"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(X, y, message):
    with pytest.raises(DataError, match=message):
        BiLSTMTagger(**SMALL).fit(X, y)


def test_one_text_is_no_list_of_texts(fitted):
    with pytest.raises(DataError, match="expected a list of texts, got one text"):
        fitted.predict("Ann lives in Rome")


def test_a_file_is_read_fitted_and_read_again_as_in_training(tmp_path):
    X, y = sentences()
    path = tmp_path / "train.conll"
    path.write_text(
        "\n\n".join("\n".join(f"{w} x {t} y" for w, t in zip(*pair, strict=True)) for pair in zip(X, y, strict=True))
    )
    model = BiLSTMTagger(**SMALL).fit(read_sentences(path, tag="3"))
    assert model.read_with_ == {"tag": "3"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(model, model.read(path, with_targets=True))["f1"] > 0.9


@pytest.mark.parametrize("to_scheme", [list, in_iobes], ids=["bio", "iobes"])
def test_validation_tags_that_are_broken_or_new_leave_the_loss_finite(to_scheme):
    X, y = sentences(40)
    broken = [["I-PER", "O", "I-LOC", "I-ORG"], ["O", "B-ORG", "I-ORG", "I-PER"]]
    validation = ([["Ann", "in", "Bonn", "IBM"]] * 2, broken)
    with pytest.warns(DataWarning, match="were not seen in training"):
        model = BiLSTMTagger(**SMALL | {"max_epochs": 2}).fit(X, [to_scheme(t) for t in y], validation=validation)
    assert np.isfinite(model.history_["validation_loss"]).all()


def test_the_best_epoch_is_that_of_the_highest_f1_and_of_equals_that_of_the_lowest_loss() -> None:
    model = BiLSTMTagger(**SMALL).fit(*sentences(30), validation=sentences(20, seed=1))
    history = model.history_
    ranks = [(-f1, loss) for f1, loss in zip(history["metric"], history["validation_loss"], strict=True)]
    assert len({metric for metric, _ in ranks}) > 1
    best = ranks.index(min(ranks))
    assert_close(model.metrics_["f1"], history["metric"][best], rtol=1e-6)


def test_a_state_keeps_the_first_of_the_best_and_takes_an_undefined_metric_for_the_worst() -> None:
    state = State(torch.nn.Linear(1, 1), torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]), History("f1"))
    kept = []
    for epoch, (metric, loss) in enumerate([(math.nan, 3.0), (0.0, 2.0), (0.5, 9.0), (0.5, 9.0), (0.4, 1.0)], 1):
        state.epoch = epoch
        state.keep_if_best(metric, loss)
        state.history.add(epoch=epoch, validation_loss=loss, metric=metric)
        kept.append(state.best_epoch)
        assert state.history.kept(by_metric=True) + 1 == state.best_epoch  # what is said of it later
    assert kept == [1, 2, 3, 3, 3]
