"""Small fitted models of every task with data that they have not seen, and their reports; each is made once."""

from __future__ import annotations

import functools
import warnings
from html.parser import HTMLParser

import numpy as np
import polars as pl

from bilstm import BiLSTMClassifier, BiLSTMRegressor, BiLSTMTagger
from bilstm.data.sound.recordings import from_sounds
from bilstm.demo.tones import dial_tones
from bilstm.errors import DataWarning
from bilstm.report import report_html
from tests import series
from tests.speech import RATE, untrained

QUICK = {"hidden_size": 6, "max_epochs": 3}
NASTY = '<script>alert("x")</script>'


def table(rows, seed=0):
    """Columns of which one has a name and values in HTML, and two targets."""
    generator = np.random.default_rng(seed)
    size, age = generator.normal(size=rows), generator.normal(size=rows)
    frame = pl.DataFrame({NASTY: size, "age": age, "town": generator.choice(["a", "b&b", NASTY], rows)})
    return frame, pl.DataFrame({"price": 3 * size + age, "<i>rent</i>": size - 2 * age})


@functools.cache
def regressor():
    return BiLSTMRegressor(**QUICK).fit(*table(120)), table(40, seed=1)


def rows_of_classes(rows, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return np.eye(classes)[labels] + generator.normal(0, 0.4, (rows, classes)), np.array([f"<{k}>" for k in labels])


@functools.cache
def classifier():
    return BiLSTMClassifier(**QUICK | {"max_epochs": 20}).fit(*rows_of_classes(150)), rows_of_classes(60, seed=1)


TEXTS = ["so good", "very bad indeed", f"good {NASTY}", "bad 坏 的", "good good", "worse"] * 10


@functools.cache
def texts():
    labels = ["pos" if "good" in text else "neg" for text in TEXTS]
    model = BiLSTMClassifier(**QUICK, embedding_size=8, char_hidden_size=3).fit(TEXTS, labels)
    return model, (TEXTS[:30], labels[:30])


@functools.cache
def labels():
    lists = [[name for name in ("good", "bad") if name in text] for text in TEXTS]
    model = BiLSTMClassifier(**QUICK, embedding_size=8, char_hidden_size=3).fit(TEXTS, lists)
    return model, (TEXTS[:30], lists[:30])


WORDS = [["Ann", "<b>saw</b>", "Rome", "&", "Paris"], ["北", "京", "很", "大"], ["no", "names"]] * 12
TAGS = [["B-PER", "O", "B-LOC", "O", "B-LOC"], ["B-LOC", "I-LOC", "O", "O"], ["O", "O"]] * 12


@functools.cache
def tagger():
    return BiLSTMTagger(**QUICK, embedding_size=8, char_hidden_size=3).fit(WORDS, TAGS), (WORDS[:27], TAGS[:27])


@functools.cache
def forecaster():
    frame = series.shops(targets=2)
    model = series.small().fit(series.read_shops(frame))
    longer = series.read_shops(series.shops((95, 115), targets=2))
    return model, longer


@functools.cache
def transcriber():
    sounds, said = dial_tones(8, rate=RATE, seed=5)
    return untrained(), from_sounds(sounds, said, rate=RATE)


TASKS = {
    "regressor": regressor,
    "classifier": classifier,
    "texts": texts,
    "labels": labels,
    "tagger": tagger,
    "forecaster": forecaster,
    "transcriber": transcriber,
}


@functools.cache
def page(name, with_data=True):
    """The report of one of them."""
    model, data = TASKS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # X-rays of models that have learned little
        return report_html(model, data if with_data else None)


class Outline(HTMLParser):
    """What a page is made of: tags with attributes, headings, the text outside of scripts and styles."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text, self.headings = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append([tag, ""])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)
            if self.open[-1] in ("h1", "h2", "h3"):
                self.headings[-1][1] += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
