"""Figures where a cell of a notebook ends in them."""

from __future__ import annotations

import pytest

from bilstm import BiLSTMClassifier
from bilstm.report.plots import predictions
from bilstm.xray import x_ray

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def model():
    texts, labels = ["warm rain", "cold snow"] * 10, ["spring", "winter"] * 10
    small = {"hidden_size": 3, "embedding_size": 4, "char_hidden_size": 2, "max_epochs": 2}
    return BiLSTMClassifier(**small).fit(texts, labels)


@pytest.mark.parametrize(
    "draw",
    {
        "losses": lambda model: model.history_.plot(),
        "predictions": lambda model: predictions(model, model.to_dataset(["warm"], ["spring"])),
        "an X-ray": lambda model: x_ray(model, ["cold rain"]).plot(what="gates"),
    }.values(),
)
def test_a_notebook_shows_a_picture_though_pyplot_was_never_imported(model, draw):
    assert draw(model)._repr_png_().startswith(PNG)
