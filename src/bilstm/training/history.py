"""What training did, epoch by epoch. Knows numbers only, and how they are described to be drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from bilstm.plotting.description import Panel

COLUMNS = (
    "epoch",  # from 1
    "loss",  # mean training loss, as the optimiser saw it
    "validation_loss",  # NaN where there is no validation part
    "metric",  # validation metric in the caller's units; NaN where there is no validation part
    "seconds",  # wall time of this epoch
    "learning_rate",
    "gradient_norm",  # mean over the batches, before clipping
)


class History:
    """One row per epoch: epoch, loss, validation loss, metric, seconds, learning rate, gradient norm.

    Args:
        metric_name: what ``metric`` holds, for instance ``rmse`` or ``accuracy``.

    Example:
        >>> history = History("rmse")
        >>> history.add(epoch=1, loss=0.5, seconds=0.1, learning_rate=0.001, gradient_norm=2.0)
        >>> history["loss"], len(history)
        ([0.5], 1)
    """

    def __init__(self, metric_name: str = "metric", columns: dict[str, list[float]] | None = None) -> None:
        self.metric_name = metric_name
        self.keeps_best_metric = False  # as its estimator has it; see kept
        self.interrupted = False  # whether somebody ended the training by Ctrl-C; no file keeps it
        self.columns: dict[str, list[float]] = columns or {name: [] for name in COLUMNS}

    def __len__(self) -> int:
        return len(self.columns["epoch"])

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]

    def __repr__(self) -> str:
        last = f", loss {self['loss'][-1]:.6g}" if len(self) else ""
        return f"History({len(self)} epochs{last})"

    def add(self, **values: float) -> None:
        """Add one epoch; a column that is not given is NaN."""
        for name, column in self.columns.items():
            column.append(float(values.get(name, math.nan)))

    def finish_last(self) -> None:
        """Take an epoch away that was being added when something broke in."""
        whole = min(map(len, self.columns.values()))
        self.columns = {name: column[:whole] for name, column in self.columns.items()}

    def kept(self, *, by_metric: bool, epochs: int | None = None) -> int:
        """The row of the epoch whose weights are kept, if training ends after so many epochs, by default all.

        It is that of the lowest validation loss; or ``by_metric`` that of the highest metric, of equals of the lowest
        validation loss.
        """

        def rank(row: int) -> tuple[float, float]:
            loss, metric = self["validation_loss"][row], self["metric"][row]
            return (-metric if by_metric and not math.isnan(metric) else 0.0), loss

        return min(range(len(self) if epochs is None else epochs), key=rank)

    @property
    def has_validation(self) -> bool:
        """Whether there was a validation part."""
        return any(not math.isnan(value) for value in self.columns["validation_loss"])

    def to_frame(self) -> pl.DataFrame:
        """The history as a polars DataFrame, one row an epoch."""
        import polars as pl

        return pl.DataFrame(self.columns | {"epoch": pl.Series(self.columns["epoch"]).cast(pl.Int64)})

    def plot(self) -> Figure:
        """The loss curves as a matplotlib figure; save it with ``figure.savefig("loss.png")``."""
        from bilstm.plotting.figures import to_matplotlib

        return to_matplotlib([[self.panel()]], size=(8, 4.5))

    def panel(self, scale: Literal["linear", "log"] | None = None) -> Panel:
        """The loss curves; on a logarithmic axis, since losses fall by orders of magnitude, unless one is not positive,
        or the caller knows better."""
        from bilstm.plotting.description import BLUE, ORANGE, Axis, Line, Mark, Panel, Points, thinned

        shown = {name: [self[name][row] for row in thinned(len(self))] for name in ("epoch", "loss", "validation_loss")}
        dots = 4 if len(self) < 3 else 0  # a line between two values, or of one, is easily missed
        marks: list[Mark] = [Line(shown["loss"], shown["epoch"], name="training", colour=BLUE, marker=dots)]
        if self.has_validation:
            row = self.kept(by_metric=self.keeps_best_metric)
            kept = [self["epoch"][row]], [self["validation_loss"][row]]
            marks.append(Line(shown["validation_loss"], shown["epoch"], name="validation", colour=ORANGE, marker=dots))
            marks.append(Points(*kept, name="kept", colour=ORANGE, opacity=1.0))
        scale = scale or ("log" if min(self.columns["loss"], default=0.0) > 0 else "linear")
        return Panel(marks, Axis("epoch", scale="whole"), Axis("loss", scale=scale), is_compared=True)

    def to_tensor(self) -> Tensor:
        """All columns as one float64 tensor (epochs, columns), for a checkpoint."""
        return torch.tensor([self.columns[name] for name in COLUMNS], dtype=torch.float64).T.contiguous()

    @classmethod
    def from_tensor(cls, metric_name: str, values: Tensor) -> History:
        """The other way."""
        return cls(metric_name, {name: values[:, i].tolist() for i, name in enumerate(COLUMNS)})

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it: NaN is written as null."""
        columns = self.columns.items()
        plain = {name: [None if math.isnan(value) else value for value in values] for name, values in columns}
        return {"metric_name": self.metric_name, "columns": plain}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> History:
        """The other way."""
        plain = data["columns"]
        columns = {name: [math.nan if v is None else float(v) for v in plain[name]] for name in COLUMNS}
        epochs = columns["epoch"]
        if set(map(len, columns.values())) != {len(epochs)} or any(not 0 < e < 2**53 or e % 1 for e in epochs):
            raise ValueError("expected every column of the history in every epoch, got gaps")
        return cls(data["metric_name"], columns)
