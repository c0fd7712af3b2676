"""The layers of the networks as ONNX operators: BiLSTM, linear, pooling, words, and the best path of a CRF.

Knows modules of nn/ and their weights; knows no estimators, columns or units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bilstm.data.columns import Array
from bilstm.data.text.encoder import COLUMNS, PADDING
from bilstm.errors import ParameterError
from bilstm.export.graph import Graph
from bilstm.networks.network import Network
from bilstm.networks.words import WordReader
from bilstm.nn.crf.layer import CRF, ruled

LOWEST = np.finfo(np.float32).min  # what attention_pool puts where there is no step


class Read(NamedTuple):
    """What a BiLSTM leaves."""

    output: str  # (B, T, D·H), zero behind each row's length
    h_n: list[str]  # of each layer, (D, B, H)
    c_n: list[str]  # of each layer, (D, B, H)


class Rows(NamedTuple):
    """How long the rows of a batch are."""

    lengths: str  # (B,) int64
    inside: str  # (B, T) of truth values: which steps exist


def rows(graph: Graph, lengths: str, like: str) -> Rows:
    """The rows of ``like`` (B, T, …), each as long as ``lengths`` (B,) says."""
    first = graph.add("Gather", lengths, graph.whole(0), name="first_length")
    # ONNX Runtime's LSTM ends the whole process at a batch of no rows; Gather makes that an error, and adds zero here
    lengths = graph.add("Add", lengths, graph.add("Sub", first, first), name="lengths_of_rows")
    time = graph.range(graph.size(like, 1))
    return Rows(lengths, graph.add("Less", time, graph.unsqueeze(lengths, 1), name="inside"))


def whole_rows(graph: Graph, x: str, T: int) -> Rows:
    """The rows of x (B, T, …), all of T steps."""
    return rows(graph, graph.add("Expand", graph.integers(T), graph.size(x, 0)), x)


def lstm(graph: Graph, layer: nn.LSTM, x: str, row: Rows, name: str = "lstm") -> Read:
    """A BiLSTM over x (B, T, F), each row over its own length."""
    if layer.proj_size:
        raise ParameterError(f"expected a layer without projection, got proj_size={layer.proj_size}: ONNX has none")
    if layer.weight_ih_l0.dtype != torch.float32:
        raise ParameterError(f"expected a layer of float32, got {layer.weight_ih_l0.dtype}", hint="use layer.float()")
    lengths, zero = graph.cast(row.lengths, "int32"), graph.constant("zero", np.float32(0))
    x = graph.add("Where", graph.unsqueeze(row.inside, 2), x, zero, name=f"{name}_input")
    D, H = 2 if layer.bidirectional else 1, layer.hidden_size
    y, h_n, c_n = "", [], []
    for k in range(layer.num_layers):
        own, way = f"{name}_layer{k}", "bidirectional" if D == 2 else "forward"
        # (T, B, F), or (T, D, B, H) → (T, B, D·H)
        x = graph.transpose(x, 1, 0, 2) if k == 0 else graph.reshape(graph.transpose(y, 0, 2, 1, 3), 0, 0, D * H)
        inputs = [x, *_weights(graph, layer, k, own), lengths]
        y, h, c = graph.several("LSTM", 3, *inputs, name=own, hidden_size=H, direction=way)
        h_n.append(h)
        c_n.append(c)
    # (T, D, B, H) → (B, T, D·H) by one transposition: at two, one of them before a MatMul, ONNX Runtime (1.32) dies of
    # float16
    return Read(graph.reshape(graph.transpose(y, 2, 0, 1, 3), 0, 0, D * H), h_n, c_n)


def _weights(graph: Graph, layer: nn.LSTM, k: int, name: str) -> list[str]:
    """W (D, 4H, F), R (D, 4H, H) and B (D, 8H) of a layer, or no B where it has no biases."""
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    weights = [
        graph.constant(f"{name}_{to}", np.stack([_gates(getattr(layer, f"{of}_l{k}{end}")) for end in ends]))
        for to, of in (("W", "weight_ih"), ("R", "weight_hh"))
    ]
    if not layer.bias:
        return [*weights, ""]
    parts = [[_gates(getattr(layer, f"bias_{of}_l{k}{end}")) for of in ("ih", "hh")] for end in ends]
    return [*weights, graph.constant(f"{name}_B", np.stack([np.concatenate(both) for both in parts]))]


def _gates(weight: Tensor) -> Array:
    """(4H, …) from torch's order of gates i, f, g, o to ONNX's i, o, f, c, whose c is g."""
    i, f, g, o = numbers(weight).reshape(4, -1, *weight.shape[1:])
    return np.concatenate([i, o, f, g])


def numbers(tensor: Tensor) -> Array:
    """A tensor's values."""
    values: Array = tensor.detach().cpu().numpy()
    return values


def linear(graph: Graph, layer: nn.Linear, x: str, name: str) -> str:
    """x (…, K) → (…, N)."""
    product = graph.add("MatMul", x, graph.constant(f"{name}_weight", numbers(layer.weight.T)), name=f"{name}_product")
    bias: Any = layer.bias  # None without, which torch's annotation denies
    if bias is None:
        return product
    return graph.add("Add", product, graph.constant(f"{name}_bias", numbers(bias)), name=name)


# -- pooling -------------------------------------------------------------------------------------------------------


def last_states(graph: Graph, read: Read, name: str = "pooled") -> str:
    """The last hidden state of both directions of the top layer, (B, 2H)."""
    return graph.add("Flatten", graph.transpose(read.h_n[-1], 1, 0, 2), axis=1, name=name)


def pooled(graph: Graph, network: Network, read: Read, row: Rows) -> str:
    """All steps of a row as one vector, (B, 2H)."""
    if network.pooling == "final":
        return last_states(graph, read)
    outside = graph.unsqueeze(graph.add("Not", row.inside), 2)  # (B, T, 1)
    if network.pooling == "mean":
        count = graph.add("Max", row.lengths, graph.whole(1))
        total = graph.add("ReduceSum", read.output, graph.integers(1), keepdims=0)
        return graph.add("Div", total, graph.cast(graph.unsqueeze(count, 1), "float"), name="pooled")
    if network.pooling == "max":
        nothing = graph.constant("minus_infinity", np.float32(-np.inf))
        highest = graph.add("ReduceMax", graph.add("Where", outside, nothing, read.output), axes=[1], keepdims=0)
        empty = graph.unsqueeze(graph.add("Equal", row.lengths, graph.whole(0)), 1)
        return graph.add("Where", empty, graph.constant("zero", np.float32(0)), highest, name="pooled")
    assert network.attention is not None
    scores = graph.squeeze(linear(graph, network.attention, read.output, "attention"), 2)  # (B, T)
    scores = graph.add("Where", row.inside, scores, graph.constant("lowest", LOWEST))
    shares = graph.add("Mul", graph.add("Softmax", scores, axis=1), graph.cast(row.inside, "float"))
    weighed = graph.add("Mul", graph.unsqueeze(shares, 2), read.output)
    return graph.add("ReduceSum", weighed, graph.integers(1), keepdims=0, name="pooled")


# -- words ---------------------------------------------------------------------------------------------------------


def word_vectors(graph: Graph, reader: WordReader, words: str, forms: str) -> str:
    """Which form each word is (B, T), and the forms' numbers (U, 3 + C), to vectors (B, T, F)."""
    number, vector, case = (graph.squeeze(graph.part(forms, 1, k, k + 1), 1) for k in range(COLUMNS))
    parts = [_embedding(graph, reader.cases, case, "cases")]
    if reader.words is not None:
        parts.append(_embedding(graph, reader.words, number, "word_vectors"))
    if reader.corrections is not None:
        fixed = graph.add("Gather", graph.constant("given_vectors", numbers(reader.vectors)), vector)
        parts.append(graph.add("Add", fixed, _embedding(graph, reader.corrections, number, "corrections")))
    if reader.spelling is not None and reader.characters is not None:
        characters = graph.part(forms, 1, COLUMNS)  # (U, C)
        written = graph.add("Not", graph.add("Equal", characters, graph.whole(PADDING)))
        count = graph.add("ReduceSum", graph.cast(written, "int64"), graph.integers(1), keepdims=0, name="spelled")
        spelled = _embedding(graph, reader.characters, characters, "characters")  # (U, C, H)
        read = lstm(graph, reader.spelling, spelled, Rows(count, written), "spelling")
        parts.append(last_states(graph, read, "spellings"))  # (U, 2H)
    vectors = graph.add("Concat", *parts, axis=1, name="vectors_of_forms")  # (U, F)
    return graph.add("Gather", vectors, words, name="vectors_of_words")


def _embedding(graph: Graph, table: nn.Embedding, number: str, name: str) -> str:
    return graph.add("Gather", graph.constant(name, numbers(table.weight)), number)


# -- the best path of a CRF ----------------------------------------------------------------------------------------


def viterbi(graph: Graph, crf: CRF, emissions: str, row: Rows) -> str:
    """The best sequence of tags (B, T) int64, 0 behind each row's length, from emissions (B, T, K).

    Two scans: forwards for the best score that ends in each tag, and where it came from; backwards along the origins.
    In float64, as the package's own, since sums over long sentences of nearly equal paths decide.

    Step t of the scans goes on to step t + 1. At a row's last step there is nothing to go on to: scores stay, and a tag
    comes from itself. So one step is a case like any other, and ONNX Runtime, which refuses to scan nothing, has one.
    """
    transitions, start, end = (numbers(part).astype(np.float64) for part in ruled(crf))
    steps = graph.transpose(graph.cast(emissions, "double"), 1, 0, 2)  # (T, B, K)
    first = graph.part(steps, 0, 0, 1)
    begun = graph.add("Add", graph.constant("crf_start", start), graph.squeeze(first, 0), name="path_scores")  # (B, K)
    next_steps = graph.add("Concat", graph.part(steps, 0, 1), first, axis=0)  # the last is not read
    next_number = graph.add("Add", graph.range(graph.size(emissions, 1)), graph.whole(1))
    goes_on = graph.add("Less", graph.unsqueeze(next_number, 1), row.lengths, name="goes_on")  # (T, B)
    forwards, backwards = _forwards(len(start), transitions), _backwards(len(start))
    scanned = begun, next_steps, goes_on
    scores, origins = graph.several("Scan", 2, *scanned, name="best_paths", num_scan_inputs=2, body=forwards)
    ended = graph.add("Add", scores, graph.constant("crf_end", end))
    last = graph.add("ArgMax", ended, axis=1, keepdims=0, name="last_tag")  # (B,)
    from_the_end = {"scan_input_directions": [1], "scan_output_directions": [1]}
    _, path = graph.several(
        "Scan", 2, last, origins, name="way_back", num_scan_inputs=1, body=backwards, **from_the_end
    )  # (T, B)
    tags = graph.transpose(path, 1, 0)
    return graph.add("Where", row.inside, tags, graph.whole(0), name="best_tags")


def _forwards(K: int, transitions: Array) -> object:
    """One step: scores (B, K) so far, emissions (B, K) to come and who goes on (B,), to scores and origins (B, K)."""
    body = Graph("step_forwards", "forwards_")
    before, coming = body.input("before", "double", ["B", K]), body.input("coming", "double", ["B", K])
    goes_on = body.unsqueeze(body.input("on", "bool", ["B"]), 1)
    through = body.add("Add", body.unsqueeze(before, 2), body.constant("crf_transitions", transitions))  # (B, K, K)
    reached = body.add("Add", body.add("ReduceMax", through, axes=[1], keepdims=0), coming)
    stay = body.constant("every_tag", np.arange(K)[None])
    origin = body.add("Where", goes_on, body.add("ArgMax", through, axis=1, keepdims=0), stay)
    body.output("scores", body.add("Where", goes_on, reached, before), "double", ["B", K])
    body.output("origins", origin, "int64", ["B", K])
    return body.body()


def _backwards(K: int) -> object:
    """One step: the tag behind (B,) and the origins (B, K), to the tag here."""
    body = Graph("step_backwards", "backwards_")
    behind = body.input("behind", "int64", ["B"])
    origins = body.input("from", "int64", ["B", K])
    here = body.squeeze(body.add("GatherElements", origins, body.unsqueeze(behind, 1), axis=1), 1)
    body.output("tag", here, "int64", ["B"])
    body.output("tags", here, "int64", ["B"])
    return body.body()
