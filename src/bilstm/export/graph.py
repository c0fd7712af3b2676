"""A graph of ONNX operators while it is written. Knows names, types and constants; does not know what is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bilstm.errors import ModelFileError, from_extra

EXTRA = "export"
OPSET, IR_VERSION = 17, 8  # of 2022: read by ONNX Runtime 1.12 and newer
INT64_MAX = 2**63 - 1  # ONNX's "to the end" of a slice
LARGEST = 2**31 - 1  # bytes of a file of protobuf


class Graph:
    """Operators in the order in which they are to run. Every method gives the name of what it computes.

    All names in it begin with ``prefix``: the body of an operator must share none with the graph around it.

    Example:
        >>> graph = Graph("double")
        >>> x = graph.input("x", "float", ["B", 3])
        >>> graph.output("y", graph.add("Mul", x, graph.constant("two", np.float32(2))), "float", ["B", 3])
        >>> [node.op_type for node in graph.model("twice x").graph.node]
        ['Mul', 'Identity']
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self.onnx = from_extra("onnx", EXTRA)
        self.name, self.prefix = name, prefix
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._names: set[str] = set()

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> str:
        """An input of the whole graph; axes with a name may have any size."""
        self.inputs.append(self._described(name, kind, shape))
        return self.prefix + name

    def output(self, name: str, value: str, kind: str, shape: Sequence[int | str]) -> None:
        """Let ``value`` be a result of the whole graph, under a name of its own."""
        self.outputs.append(self._described(name, kind, shape))
        name = self.prefix + name
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name], name=f"{name}_out"))

    def constant(self, name: str, value: Any) -> str:
        """Numbers that stand in the file; the same name stands for the same numbers."""
        name = self.prefix + name
        tensor = self.onnx.numpy_helper.from_array(np.array(value, order="C"), name)
        assert self.constants.setdefault(name, tensor) == tensor, f"two constants are called {name}"
        self._names.add(name)
        return name

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """An operator with one result."""
        return self.several(operator, 1, *inputs, name=name, **attributes)[0]

    def several(self, operator: str, count: int, *inputs: str, name: str = "", **attributes: Any) -> list[str]:
        """An operator with ``count`` results."""
        own = wanted = self.prefix + (name or operator.lower())
        number = 1
        while own in self._names:
            number += 1
            own = f"{wanted}_{number}"
        results = [own] if count == 1 else [f"{own}_{number}" for number in range(count)]
        self._names.update([own, *results])
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), results, name=own, **attributes))
        return results

    def whole(self, number: int) -> str:
        """One whole number as a constant without axes."""
        return self.constant(f"number_{number}", np.int64(number))

    def integers(self, *values: int) -> str:
        """Whole numbers as a constant (n,): axes, shapes, places."""
        name = "int_" + "_".join(map(str, values)).replace("-", "minus")
        return self.constant(name, np.array(values, dtype=np.int64))

    def cast(self, value: str, kind: str) -> str:
        return self.add("Cast", value, to=self._kind(kind))

    def size(self, value: str, axis: int) -> str:
        """How long an axis is, (1,)."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def part(self, value: str, axis: int, start: int, stop: int = INT64_MAX) -> str:
        """From ``start`` to ``stop`` of an axis."""
        return self.add("Slice", value, self.integers(start), self.integers(stop), self.integers(axis))

    def unsqueeze(self, value: str, *axes: int) -> str:
        return self.add("Unsqueeze", value, self.integers(*axes))

    def squeeze(self, value: str, *axes: int) -> str:
        return self.add("Squeeze", value, self.integers(*axes))

    def reshape(self, value: str, *shape: int, name: str = "") -> str:
        """Another shape; 0 keeps the size of an axis."""
        return self.add("Reshape", value, self.integers(*shape), name=name)

    def transpose(self, value: str, *order: int) -> str:
        return self.add("Transpose", value, perm=list(order))

    def range(self, count: str) -> str:
        """0 … count − 1, of a count (1,)."""
        zero, one = self.whole(0), self.whole(1)
        return self.add("Range", zero, self.squeeze(count, 0), one)

    def body(self) -> Any:
        """The graph as the body of an operator of another graph; what nobody reads is left out."""
        read, nodes = {output.name for output in self.outputs}, []
        for node in reversed(self.nodes):
            if read.intersection(node.output):
                nodes.append(node)
                read.update(node.input)
        constants = [constant for name, constant in self.constants.items() if name in read]
        return self.onnx.helper.make_graph(nodes[::-1], self.name, self.inputs, self.outputs, constants)

    def model(self, about: str) -> Any:
        """The whole, checked by ONNX's own checker and inference of shapes; too large for protobuf is an error."""
        opset = [self.onnx.helper.make_opsetid("", OPSET)]
        graph = self.body()
        model = self.onnx.helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, doc_string=about)
        if model.ByteSize() > LARGEST:
            raise ModelFileError(
                f"expected a graph of at most 2 GB, got {model.ByteSize() / 1e9:.1f} GB",
                hint="train with fewer pre-trained vectors (extra_vectors)",
            )
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _described(self, name: str, kind: str, shape: Sequence[int | str]) -> Any:
        """An input or output under a name of its own."""
        name = self.prefix + name
        assert name not in self._names, name
        self._names.add(name)
        return self.onnx.helper.make_tensor_value_info(name, self._kind(kind), list(shape))

    def _kind(self, kind: str) -> int:
        return int(self.onnx.TensorProto.DataType.Value(kind.upper()))
