"""DATA as the command line names it, for a model. Knows names and standard input; what is read the estimator knows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bilstm.errors import ParameterError

if TYPE_CHECKING:
    from bilstm.data.dataset import Dataset
    from bilstm.data.stream import Stream
    from bilstm.estimators.base import BiLSTMEstimator
    from bilstm.estimators.inputs import Columns

STDIN = "-"


def read_data(
    model: BiLSTMEstimator, data: Sequence[str], *, with_targets: bool = False, text: str | None = None
) -> Dataset | None:
    """DATA as the model needs it: files, a built-in set by name, or standard input (``-``); None where it needs none.

    ``text`` is the column of texts, if it is not called as in training.
    """
    if not data:
        if model.needs_data:
            raise ParameterError(f"A {model.task} needs DATA.", hint="name a file, or a built-in set")
        return None
    if STDIN in data:
        if len(data) > 1:
            raise ParameterError("Standard input (-) cannot be read together with other files.")
        return model.read(sys.stdin.buffer.read(), with_targets=with_targets, text=text)
    if len(data) == 1 and model.is_language_ and " " in data[0] and not Path(data[0]).exists():
        hint = "a text itself comes on standard input: echo 'a text' | bilstm predict FILE -"
        raise ParameterError(f"There is no file {data[0][:40]!r}.", hint=hint)
    return model.read(data if len(data) > 1 else data[0], with_targets=with_targets, text=text)


def read_for_fit(
    estimator: BiLSTMEstimator, data: str, valid: str | None, columns: Columns
) -> tuple[Dataset | Stream, Dataset | None]:
    """DATA to train on, and the file to stop by, which is read as DATA was."""
    from bilstm.data.stream import Stream

    training = estimator.read_for_fit(data, **columns)
    if valid is None:
        return training, None
    second = estimator.read_for_fit(valid, like=training, **columns)
    assert not isinstance(second, Stream)  # of a second file never
    return training, estimator.validation_part(second, training)
