"""Simple rules that a model must beat, fitted to the data that it is measured on, by cross-validation.

Knows scikit-learn's models and folds; knows neither figures nor estimators. A rule is never asked of a sequence that it
has seen; that it has seen others of the very same data helps it, not the model.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bilstm.data.columns import Array

FOLDS = 10
LEAST = 2 * FOLDS  # rows below which no rule is fitted: folds of one row would be left
MANY = 20_000  # rows above which five folds do, each of which has plenty
PENALTIES = np.logspace(-3, 4, 15)  # of the ridge, on standardised columns
MOST_WORDS = 200_000  # and pairs of them, the commonest: each class has a weight for every one, in double precision
INVERSE_PENALTY = 10.0  # C of the logistic regression on words, of which there are more than texts


def folds(count: int) -> int:
    """How many folds so many rows get; 0 where they are too few.

    Example:
        >>> folds(10), folds(1000), folds(100_000)
        (0, 10, 5)
    """
    return 0 if count < LEAST else FOLDS if count <= MANY else 5


def _parts(count: int) -> Iterator[tuple[Array, Array]]:
    yield from KFold(folds(count), shuffle=True, random_state=0).split(np.arange(count))


def ridge(columns: Array, targets: Array) -> Array:
    """What a ridge regression of columns (N, F) on targets (N, K) says of each row, fitted to the other folds."""
    predicted = np.empty(targets.shape)
    for learned, asked in _parts(len(columns)):
        model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
        said = model.fit(columns[learned], targets[learned]).predict(columns[asked])
        predicted[asked] = said.reshape(-1, *targets.shape[1:])
    return predicted


def logistic(columns: Array | Sequence[Sequence[str]], truth: Array, classes: int) -> Array:
    """Probabilities (N, K) of a logistic regression, fitted to the other folds.

    ``columns`` are numbers (N, F), or of each text its words, which TF-IDF weighs alone and in pairs; ``truth`` is
    numbers of classes (N,), or which labels each row has, (N, K) of truth values.
    """
    words = not isinstance(columns, np.ndarray)
    rows: Array = np.array([" ".join(one) for one in columns], dtype=object) if words else np.asarray(columns)
    chances = np.zeros((len(truth), classes))
    for learned, asked in _parts(len(truth)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one that has not converged, or a label that no row has, is still a rule
            model = _classifier(words, truth[learned])
            model.fit(rows[learned], truth[learned])
            known = np.arange(classes) if truth.ndim == 2 else model.classes_
            chances[np.ix_(asked, known)] = model.predict_proba(rows[asked])
    return chances


def _classifier(words: bool, truth: Array) -> Any:
    if truth.ndim == 1 and len(np.unique(truth)) == 1:
        return DummyClassifier()
    model = LogisticRegression(max_iter=300, C=INVERSE_PENALTY if words else 1.0)
    if truth.ndim == 2:
        model = OneVsRestClassifier(model)
    if words:  # they are cut already
        weighed = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), sublinear_tf=True, max_features=MOST_WORDS)
        return make_pipeline(weighed, model)
    return make_pipeline(StandardScaler(), model)


def commonest_tags(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of each word the tag that it has most often in the other folds; of an unknown one the commonest tag."""
    result: list[list[str]] = [[] for _ in sentences]
    for learned, asked in _parts(len(sentences)):
        counts: dict[str, Counter[str]] = {}
        every: Counter[str] = Counter()
        for row in learned:
            every.update(tags[row])
            for word, tag in zip(sentences[row], tags[row], strict=True):
                counts.setdefault(word, Counter())[tag] += 1
        usual = every.most_common(1)[0][0]
        best = {word: tally.most_common(1)[0][0] for word, tally in counts.items()}
        for row in asked:
            result[row] = [best.get(word, usual) for word in sentences[row]]
    return result


def means_of_steps(steps: Array, lengths: Array) -> Array:
    """The mean of each sequence's steps, (N, F); of a table the rows themselves."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.zeros((len(lengths), steps.shape[1]))
    np.add.at(sums, owner, steps)
    return sums / np.maximum(lengths, 1)[:, None]
