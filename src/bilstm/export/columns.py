"""Columns as a caller has them to what a network reads, as ONNX operators: the encoders of data/ inside the graph.

Knows how columns are scaled and coded; does not know what is predicted from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bilstm.data.encoders import Column, FeatureEncoder
from bilstm.export.graph import Graph

UNKNOWN, MISSING = -1, -2  # codes of a category that training had not, and of a missing value


def used(encoder: FeatureEncoder | None, kind: str) -> list[Column]:
    """The columns of a kind, in the order in which a caller gives them."""
    return [] if encoder is None else [column for column in encoder.columns if column.kind == kind]


def described(encoder: FeatureEncoder) -> list[dict[str, Any]]:
    """What the JSON beside a graph says of columns; the order of a kind is that of its input."""
    return [
        {"name": column.name, "kind": column.kind} | ({"values": column.values} if column.kind == "category" else {})
        for column in encoder.columns
        if column.kind in ("number", "category")
    ]


def encoded(
    graph: Graph, encoder: FeatureEncoder, axes: Sequence[int | str], *, prefix: str = "", filled: bool = False
) -> str:
    """Inputs for the columns, and what :class:`FeatureEncoder` makes of them: (B, T, F) float.

    Inputs are ``numbers`` (…, n) double, NaN where missing, and ``categories`` (…, c) int64. Where numbers are
    ``filled``, a further input ``missing`` (…, m) says where they had gaps.
    """
    blocks = _of_numbers(graph, used(encoder, "number"), axes, prefix, filled)
    blocks += _of_categories(graph, used(encoder, "category"), axes, prefix)
    parts = [part for part, _ in blocks]
    places = [place for _, places in blocks for place in places]
    joined = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=2, name=f"{prefix}columns")
    wanted = [(column.name, number) for column in encoder.columns for number in range(len(column.names))]
    order = [places.index(place) for place in wanted]
    if order == list(range(len(order))):
        return joined
    return graph.add("Gather", joined, graph.constant(f"{prefix}order_of_columns", np.array(order)), axis=2)


Block = tuple[str, list[tuple[str, int]]]  # encoded columns, and of which column the how-many-eth each one is


def _of_numbers(
    graph: Graph, columns: list[Column], axes: Sequence[int | str], prefix: str, filled: bool
) -> list[Block]:
    if not columns:
        return []
    values = graph.input(f"{prefix}numbers", "double", [*axes, len(columns)])
    gone = graph.add("IsNaN", values, name=f"{prefix}is_missing")
    mean, scale = (np.array([getattr(column, of) for column in columns]) for of in ("mean", "scale"))
    centred = graph.add("Sub", values, graph.constant(f"{prefix}means", mean))
    scaled = graph.add("Div", centred, graph.constant(f"{prefix}scales", scale), name=f"{prefix}standardised")
    scaled = graph.add("Where", gone, graph.constant("zero_double", np.float64(0)), scaled)
    blocks = [(graph.cast(scaled, "float"), [(column.name, 0) for column in columns])]
    flags = [place for place, column in enumerate(columns) if column.flag]
    if flags and filled:
        flag = graph.input(f"{prefix}missing", "float", [*axes, len(flags)])
        blocks.append((flag, _flag_places(columns)))
    elif flags:
        flag = graph.add("Gather", gone, graph.constant(f"{prefix}flagged_numbers", np.array(flags)), axis=2)
        blocks.append((graph.cast(flag, "float"), _flag_places(columns)))
    return blocks


def _of_categories(graph: Graph, columns: list[Column], axes: Sequence[int | str], prefix: str) -> list[Block]:
    if not columns:
        return []
    codes = graph.input(f"{prefix}categories", "int64", [*axes, len(columns)])
    owner = np.array([place for place, column in enumerate(columns) for _ in column.values])
    value = np.array([code for column in columns for code in range(len(column.values))])
    repeated = graph.add("Gather", codes, graph.constant(f"{prefix}owners", owner), axis=2)
    chosen = graph.add("Equal", repeated, graph.constant(f"{prefix}values", value), name=f"{prefix}one_hot")
    blocks = [
        (graph.cast(chosen, "float"), [(column.name, code) for column in columns for code in range(len(column.values))])
    ]
    flags = [place for place, column in enumerate(columns) if column.flag]
    if flags:
        code = graph.add("Gather", codes, graph.constant(f"{prefix}flagged_categories", np.array(flags)), axis=2)
        gone = graph.add("Equal", code, graph.constant("missing_code", np.int64(MISSING)))
        blocks.append((graph.cast(gone, "float"), _flag_places(columns)))
    return blocks


def _flag_places(columns: list[Column]) -> list[tuple[str, int]]:
    return [(column.name, len(column.names) - 1) for column in columns if column.flag]
