"""Tables that tests share: Boston as one frame, and the rows of what a command wrote as CSV."""

from __future__ import annotations

import csv
import io

import polars as pl

from bilstm import boston


def houses():
    """Boston, columns and target in one frame."""
    data = boston()
    return pl.concat([data.steps, data.targets], how="horizontal")


def rows_of(text, delimiter=","):
    """A dictionary for each row."""
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
