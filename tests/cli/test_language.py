"""The command line on text and tagged sentences: forms in, the same forms out, and bad files."""

from __future__ import annotations

import json

import pytest

import bilstm
from bilstm.cli.options import read_data
from bilstm.cli.results import paint
from tests.tables import rows_of

LANGUAGE = ["--max-epochs", "12", "--hidden-size", "12", "--batch-size", "4", "--learning-rate", "0.01"]


@pytest.fixture
def names(tmp_path):
    """A CoNLL file of names and places."""
    lines = []
    for n in range(60):
        name, place = ["Ann", "Bob", "Cy"][n % 3], ["Rome", "Bonn"][n % 2]
        lines += [f"{name} B-PER", "lives O", "in O", f"{place} B-LOC", ". O", ""]
    path = tmp_path / "names.conll"
    path.write_text("\n".join(lines))
    return path


def test_from_tagged_sentences_to_tags_in_the_form_of_the_input(run, names, tmp_path, typed):
    status, _, err = run("fit", "tagger", names, "--valid", names, "-o", "ner.bilstm", *LANGUAGE)
    assert status == 0, err
    assert "f1 1" in err
    typed(b"Bob lives in Rome .\n\nCy\n")
    status, out, err = run("predict", "ner.bilstm", "-")
    assert (status, out) == (0, "Bob\tB-PER\nlives\tO\nin\tO\nRome\tB-LOC\n.\tO\n\n\nCy\tB-PER\n\n")
    status, out, _ = run("predict", "ner.bilstm", names)
    assert out.splitlines()[:2] == ["Ann B-PER B-PER", "lives O O"]
    assert [line.rpartition(" ")[0] for line in out.splitlines()] == names.read_text().splitlines()
    (tmp_path / "a.csv").write_text('id;text\n1;"Ann lives in Bonn ."\n')
    status, out, _ = run("predict", "ner.bilstm", "a.csv", "-o", "b.csv")
    row = rows_of((tmp_path / "b.csv").read_text(), ";")[0]
    assert (row["id"], json.loads(row["tags"])[0]) == ("1", "B-PER")
    found = json.loads(row["entities"])
    assert [(e["text"], e["type"], e["start"], e["end"]) for e in found] == [
        ("Ann", "PER", 0, 3),
        ("Bonn", "LOC", 13, 17),
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Cy", "n": 1}) + "\n")
    status, out, _ = run("predict", "ner.bilstm", "a.jsonl")
    assert (json.loads(out)["tags"], json.loads(out)["n"]) == (["B-PER"], 1)
    status, out, _ = run("evaluate", "ner.bilstm", names, "--json")
    assert {"accuracy", "f1", "precision", "recall", "n"} <= set(json.loads(out))
    assert "support" in run("evaluate", "ner.bilstm", names)[1]


def test_a_table_of_words_is_tagged_as_its_text_is(run, names, tmp_path):
    run("fit", "tagger", names, "-o", "ner.bilstm", *LANGUAGE)
    (tmp_path / "words.jsonl").write_text(json.dumps({"tokens": ["Cy", "lives"]}) + "\n")
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "Cy lives"}) + "\n")
    tags = [json.loads(run("predict", "ner.bilstm", f"{name}.jsonl")[1])["tags"] for name in ("words", "text")]
    assert tags[0] == tags[1] == ["B-PER", "O"]


def test_entities_are_painted_on_a_terminal(run, names, typed, capsys):
    run("fit", "tagger", names, "-o", "ner.bilstm", *LANGUAGE)
    typed(b"Ann lives in Rome .\n")
    model = bilstm.load("ner.bilstm")
    paint(model, read_data(model, ["-"]))
    out = capsys.readouterr().out
    assert out.startswith("[Ann]PER ")
    assert "lives in [Rome]LOC " in out


def test_from_texts_to_labels(run, tmp_path, typed):
    rows = ["text,label", *(f"{['a good film', 'so bad awful'][n % 2]},{'+-'[n % 2]}" for n in range(60))]
    (tmp_path / "r.csv").write_text("\n".join(rows))
    status, _, err = run(
        "fit", "classifier", "r.csv", "--text", "text", "--target", "label", "-o", "m.bilstm", *LANGUAGE
    )
    assert status == 0, err
    status, out, _ = run("predict", "m.bilstm", "r.csv")
    table = rows_of(out)
    assert list(table[0]) == ["text", "label", "predicted_label", "probability"]
    assert all(row["label"] == row["predicted_label"] for row in table)
    typed(b"good film\nbad\n")
    assert [line.split("\t")[0] for line in run("predict", "m.bilstm", "-")[1].splitlines()] == ["+", "-"]
    status, out, _ = run("evaluate", "m.bilstm", "r.csv", "--json")
    assert json.loads(out)["accuracy"] == 1


@pytest.mark.parametrize(
    "arguments, text, message",
    [
        (("fit", "tagger", "a.conll", "-o", "m.bilstm"), b"Ann B-PER\nran\n", "a.conll, line 2"),
        (("fit", "tagger", "a.conll", "-o", "m.bilstm"), b"Ann O\nsch\xf6n O\n", "a.conll, line 2"),
        (
            ("fit", "classifier", "a.csv", "--text", "text", "-o", "m.bilstm"),
            b"text,y\na,b\n",
            "expected --target, the column to predict",
        ),
        (
            ("fit", "classifier", "a.csv", "--text", "txt", "--target", "y", "-o", "m.bilstm"),
            b"text,y\na,b\n",
            "did you mean 'text'",
        ),
    ],
)
def test_bad_files_of_language_are_named(run, tmp_path, arguments, text, message):
    (tmp_path / arguments[2]).write_bytes(text)
    status, _, err = run(*arguments)
    assert (status, message in err) == (1, True), err


def test_bytes_on_stdin_that_are_not_utf_8_are_refused(run, names, typed):
    run("fit", "tagger", names, "-o", "ner.bilstm", "--max-epochs", "1", "--hidden-size", "4")
    typed(b"fine\nsch\xf6n\n")
    status, out, err = run("predict", "ner.bilstm", "-")
    assert (status, out) == (1, "")
    assert "expected UTF-8 text, got other bytes (-, line 2)" in err


def test_the_tagger_demo_leaves_what_it_says(run, tmp_path):
    status, out, err = run("demo", "tagger", "--max-epochs", "2")
    assert status == 0, err
    files = {file.name for file in (tmp_path / "demo-tagger").iterdir()}
    assert files == {"names.bilstm", "loss.png", "train.conll", "held_out.conll"}
    assert "this BiLSTM-CRF" in out
    assert run("plot", "demo-tagger/names.bilstm", "demo-tagger/held_out.conll", "-o", "a.png")[0] == 0
