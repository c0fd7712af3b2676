"""Makes docs/gates.png and docs/gates_sum.png: a small model that adds two marked numbers, as an X-ray sees it.

The task is the adding problem of Hochreiter and Schmidhuber 1997, with numbers in ±1 and shorter sequences.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from bilstm import BiLSTMRegressor, evaluate
from bilstm.data.dataset import Dataset
from bilstm.xray import x_ray

STEPS = 20
HERE = Path(__file__).parent


def marked_numbers(count: int, seed: int) -> Dataset:
    """Sequences of a number in ±1 and a mark; the target is the sum of the two numbers that are marked."""
    generator = np.random.default_rng(seed)
    numbers = generator.uniform(-1, 1, (count, STEPS)).round(2)
    marks = np.zeros((count, STEPS))
    for row in marks:
        row[generator.choice(STEPS, 2, replace=False)] = 1
    return Dataset(
        pl.DataFrame({"number": numbers.ravel(), "mark": marks.ravel()}),
        np.full(count, STEPS),
        pl.DataFrame({"sum": (numbers * marks).sum(axis=1)}),
        source="marked numbers",
    )


def main() -> None:
    """Train (about a minute), say how well, and draw a sequence that the model has never seen."""
    model = BiLSTMRegressor(hidden_size=8, dropout=0.0, max_epochs=150, learning_rate=0.01, verbose=10)
    model.fit(marked_numbers(4000, seed=0))
    print(evaluate(model, marked_numbers(1000, seed=1)))
    found = x_ray(model, marked_numbers(20, seed=2), row=3)
    found.plot(what="gates").savefig(HERE / "gates.png", dpi=90)
    found.plot().savefig(HERE / "gates_sum.png", dpi=90)


if __name__ == "__main__":
    main()
