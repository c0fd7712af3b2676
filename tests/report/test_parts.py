"""The parts of a report one by one: marked sentences, simple rules, checks of data, commands, what a fit remembers."""

from __future__ import annotations

import copy
import shlex
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bilstm
from bilstm import BiLSTMClassifier, BiLSTMForecaster, BiLSTMRegressor, BiLSTMTagger, boston
from bilstm.cli import main
from bilstm.data.dataset import Dataset
from bilstm.data.text.reader import from_words
from bilstm.errors import DataWarning
from bilstm.estimators.provenance import restored
from bilstm.metrics.baselines import commonest_tags, logistic, ridge
from bilstm.report.checks import findings, same_as_training
from bilstm.report.examination import examples, worst_rows
from bilstm.report.facts import commands, learned_from, options, settings
from bilstm.report.tagging import legend_of, marked
from tests import series
from tests.compare import assert_close
from tests.report.models import QUICK, TAGS, WORDS, forecaster, regressor, tagger, transcriber
from tests.tables import houses

# -- sentences ---------------------------------------------------------------------------------------------------

WORDS_OF = ["Ann", "of", "York", "met", "Bo"]


@pytest.mark.parametrize(
    ("truth", "said", "pieces"),
    [
        ("B O O O O", "B O O O O", [("Ann", "X", ""), (" of York met Bo", "", "")]),
        ("O O O O O", "B O O O O", [("Ann", "X", "none"), (" of York met Bo", "", "")]),
        (
            "O O B O B",
            "O O O O B",
            [("Ann of", "", ""), (" ", "", ""), ("York", "", "X"), (" met", "", ""), (" ", "", ""), ("Bo", "X", "")],
        ),
        ("B I I O O", "B O O O O", [("Ann", "X", "X “Ann of York”"), (" of York met Bo", "", "")]),
        (
            "O O B O O",
            "B I I O O",
            [("Ann of York", "X", "X “York”"), (" met Bo", "", "")],
        ),
    ],
)
def test_mistakes_are_marked_where_they_are(truth, said, pieces):
    truth, said = ([tag if tag == "O" else f"{tag}-X" for tag in tags.split()] for tags in (truth, said))
    found = marked(WORDS_OF, truth, said, [("X", 0)], True, "s")
    assert [(piece.text, piece.label, piece.truth) for piece in found.pieces] == pieces
    assert "".join(piece.text for piece in found.pieces) == " ".join(WORDS_OF)


def test_another_type_is_told_beside_the_label():
    found = marked(["Ann"], ["B-PER"], ["B-LOC"], [("LOC", 0), ("PER", 1)], True, "s").pieces[0]
    assert (found.label, found.truth, found.colour) == ("LOC", "PER", 0)


def test_tags_that_are_no_entities_stand_behind_every_word():
    found = marked(["a", "b"], ["N", "V"], ["N", "N"], legend_of([["N", "V"]], [["N", "N"]], False), False, "s")
    assert [(p.text, p.label, p.truth) for p in found.pieces if p.label] == [("a", "N", ""), ("b", "N", "V")]


def test_a_very_long_sentence_is_cut_and_says_so():
    words = ["w"] * 1000
    found = marked(words, ["O"] * 1000, ["O"] * 1000, [], True, "s")
    assert found.pieces[-1].text == " … (850 more words)"


def test_the_eighth_type_has_no_colour():
    legend = legend_of([[f"B-{kind}" for kind in "abcdefgh"]], [], True)
    assert [colour for _, colour in legend] == [0, 1, 2, 3, 4, 5, 6, -1]


# -- simple rules ------------------------------------------------------------------------------------------------


def test_the_ridge_is_scikit_learns_cross_validated():
    generator = np.random.default_rng(0)
    columns, targets = generator.normal(size=(60, 4)), generator.normal(size=(60, 2))
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
    expected = cross_val_predict(model, columns, targets, cv=KFold(10, shuffle=True, random_state=0))
    assert_close(ridge(columns, targets), expected, rtol=1e-12)


def test_a_rule_is_never_asked_of_what_it_has_seen():
    """Labels that are noise cannot be known: a rule that has seen them would know them."""
    generator = np.random.default_rng(0)
    columns, truth = np.eye(100), generator.integers(0, 2, 100)
    chances = logistic(columns, truth, 2)
    assert (chances.argmax(axis=1) == truth).mean() < 0.65
    words = [[f"w{row}"] for row in range(100)]
    tags = commonest_tags(words, [[str(label)] for label in truth])
    assert np.mean([tag == [str(label)] for tag, label in zip(tags, truth, strict=True)]) < 0.65


def test_a_class_that_a_fold_lacks_has_no_chance_there():
    truth = np.zeros(40, dtype=int)
    truth[7] = 2
    chances = logistic(np.random.default_rng(0).normal(size=(40, 2)), truth, 3)
    assert_close(chances.sum(axis=1), np.ones(40), atol=1e-9)
    assert_close(chances[:, 1], np.zeros(40))
    assert chances[7, 2] == 0


# -- examples ----------------------------------------------------------------------------------------------------


def test_three_examples_are_chosen_and_one_stands_for_several():
    found = examples(
        None, np.array([3.0, 1.0, 2.0, np.nan]), np.array([0.5, 0.9, 0.8, 1.0]), np.array([0, 1, 1, 1]) > 0
    )
    assert [(one.title, one.row) for one in found] == [
        ("A typical one", 2),
        ("The surest that is right", 1),
        ("The worst", 0),
    ]
    (alone,) = examples(None, np.array([1.0]), np.array([1.0]), np.array([True]))
    assert (alone.title, alone.row) == ("The worst", 0)
    assert examples(None, np.array([np.nan]), np.zeros(1), np.array([True])) == []
    assert worst_rows(np.array([1.0, 5.0, np.nan, 3.0]), 2) == [1, 3]


# -- the data ----------------------------------------------------------------------------------------------------


def test_gaps_far_values_new_values_and_copies_are_found():
    model, (rows, _) = regressor()
    strange = rows.with_columns(
        age=pl.Series([1000.0, None, *rows["age"][2:]]), town=pl.Series(["<new>", *rows["town"][1:]])
    )
    strange = pl.concat([strange, strange[5:7]])
    told = "\n".join(findings(model, Dataset.from_arrays(strange)))
    assert "2 rows of 42 repeat the input of another" in told
    assert "Values are missing: age 2.4 %" in told
    assert "Column age lies beyond 6 standard deviations" in told
    assert "values that training never saw in 2.4 % of the steps, such as '<new>'" in told
    assert findings(model, Dataset.from_arrays(rows)) == []


def test_the_very_training_data_is_known_again():
    data = boston().take(range(60))
    model = BiLSTMRegressor(**QUICK).fit(data)
    assert "figures flatter" in same_as_training(model, data)
    assert same_as_training(model, boston().take(range(61))) is None


def test_unknown_words_new_tags_and_empty_sentences_are_told():
    model, _ = tagger()
    data = from_words([["never", "heard"], []], [["B-NEW", "O"], []])
    told = "\n".join(findings(model, data))
    assert "1 text of 2 has no words" in told
    assert "100 % of the words were not seen" in told
    assert "B-NEW" in told


def test_leaks_of_a_series_are_told():
    frame = series.table(200)
    model = series.small().fit(frame.with_columns(copy=pl.col("y").shift(1).fill_null(5.0)), "y")
    shifted = frame.with_columns(copy=pl.col("y").shift(-1).fill_null(5.0))
    told = "\n".join(findings(model, bilstm.read_series(shifted, target="y")))
    assert "Column 'copy' knows the future of 'y'" in told


def test_characters_that_cannot_be_written_are_told():
    model, recordings = transcriber()
    said = recordings.targets.with_columns(text=pl.lit("Ωmega"))
    (told,) = findings(model, replace(recordings, targets=said))
    assert "'Ω'" in told


# -- what a model is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (regressor, "reads a table row of 3 columns and predicts price and <i>rent</i>."),
        (tagger, "finds LOC and PER in sentences, with 4 tags and a CRF."),
        (forecaster, "reads the last 6 steps (day) of a series and predicts the next 2 steps of y0 and y1"),
        (transcriber, "writes down what is said in recordings, in"),
    ],
)
def test_what_a_model_is_in_a_sentence(make, words):
    assert words in make()[0].describe()


def test_settings_that_differ_stand_first():
    said, table = settings(BiLSTMClassifier(hidden_size=6, clip_norm=None).fit(np.eye(8), ["a", "b"] * 4))
    assert said.text == "Of 27 parameters 2 differ from the default; they stand first."
    assert [row[:3] for row in table.rows[:2]] == [["hidden_size", "6", "64"], ["clip_norm", "none", "1"]]
    assert ["dropout", "none, here 0.1", "none"] in [row[:3] for row in table.rows]
    assert all(row[3] for row in table.rows)


@pytest.mark.parametrize(
    "model",
    [
        BiLSTMRegressor(learning_rate=1 / 300),
        BiLSTMRegressor(hidden_size=5, clip_norm=None, table_as="steps", validation_fraction=0.0),
        BiLSTMClassifier(class_weight={"a": 2 / 3, "b": 1.0}, lowercase=False),
        BiLSTMTagger(crf=False, batch_size=None),
        BiLSTMForecaster(rescale=True, calendar=False, linear=False, season=7),
    ],
)
def test_options_are_those_of_the_command_line(model, monkeypatch):
    """What the report says is typed, and gives the same constructor parameters."""
    seen = {}
    monkeypatch.setattr("bilstm.cli.fit.run", lambda kind, data, output, reading, **others: seen.update(others))
    with pytest.raises(SystemExit) as stop:
        main(["fit", model.task, "data.csv", "-o", "m.bilstm", *options(model)])
    assert not stop.value.code
    expected = {name: value for name, value in model.get_params().items() if name not in ("checkpoint", "verbose")}
    assert {name: seen[name] for name in expected} == expected


def told_columns(model, source):
    """The data options of the command that fits a model to a file again, as pairs."""
    model = copy.copy(model)
    model.trained_with_ = model.trained_with_ | {"source": source}
    words = shlex.split(commands(model, None, "newer.csv")[0].text.splitlines()[0])
    assert words[:4] == ["bilstm", "fit", model.task, source]
    names = ("--text", "--target", "--future", "--group")
    return {(word, words[place + 1]) for place, word in enumerate(words) if word in names}


def test_commands_name_the_columns_of_language_and_series(tmp_path):
    model, _ = forecaster()
    (code, _) = commands(model, None, "newer.csv")
    assert shlex.split(code.text.splitlines()[0])[:3] == ["#", "BiLSTMForecaster(history=6,", "horizon=2,"]
    expected = {("--group", "shop"), ("--target", "y0"), ("--target", "y1"), ("--future", "ahead")}
    assert told_columns(model, "shops.csv") == expected
    pl.DataFrame({"said": ["so good", "bad"] * 10, "stars": ["5", "1"] * 10}).write_ndjson(tmp_path / "r.jsonl")
    model = BiLSTMClassifier(**QUICK).fit(bilstm.read_texts(tmp_path / "r.jsonl", text="said", target="stars"))
    assert told_columns(model, "r.jsonl") == {("--text", "said"), ("--target", "stars")}


# -- what a fit remembers ----------------------------------------------------------------------------------------


def test_a_fit_remembers_its_data_and_its_warnings(tmp_path):
    words, tags = [list(sentence) for sentence in WORDS], [list(sentence) for sentence in TAGS]
    tags[0][1] = "I-LOC"  # which nothing begins
    with pytest.warns(DataWarning, match="1 of 132 tags broke"):
        model = BiLSTMTagger(**QUICK, embedding_size=8, char_hidden_size=0).fit(words, tags)
    told = model.trained_with_
    assert (told["sequences"], told["validation_sequences"], told["source"]) == (32, 4, "X")
    assert told["warnings"] == ["1 of 132 tags broke the BIO scheme and were repaired (X)"]
    model.save(tmp_path / "m.bilstm")
    assert bilstm.load(tmp_path / "m.bilstm").trained_with_ == told
    assert ("repaired", "1 tag that broke the BIO scheme") in learned_from(model).pairs


def test_the_folder_of_a_file_is_not_remembered(tmp_path):
    names = pl.Series([f"n{k}" for k in range(40)])
    houses()[:40].with_columns(name=names).write_csv(tmp_path / "houses.csv")
    with pytest.warns(DataWarning, match="column 'name' is left out"):
        model = BiLSTMRegressor(**QUICK).fit(bilstm.read_table(tmp_path / "houses.csv", target="medv"))
    assert model.trained_with_["source"] == "houses.csv"
    assert str(tmp_path) not in str(model.trained_with_)


@pytest.mark.parametrize(
    ("saved", "found"),
    [
        (None, {}),
        ([1], {}),
        ({"sequences": "many", "steps": 3, "unknown": 1}, {"steps": 3}),
        ({"seconds": float("nan"), "date": 3}, {}),
        ({"warnings": [1, "two"]}, {"warnings": ["1", "two"]}),
    ],
)
def test_what_a_foreign_header_claims_is_checked(saved, found):
    assert restored(saved) == found
