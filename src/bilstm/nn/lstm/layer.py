"""The layer: torch.nn.LSTM's parameters and manners, lengths as an argument, any kernel underneath.

Knows shapes, orders of axes and how mistakes are worded; computes nothing itself.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bilstm.errors import DataError, ParameterError
from bilstm.nn import core
from bilstm.nn.lstm import checkpoints, equations, kernels
from bilstm.nn.lstm.equations import Call, Trace, Weights

States = tuple[Tensor, Tensor]
Lengths = Iterable[int] | Tensor | None


class BiLSTM(nn.LSTM):
    """Read sequences from both ends: torch.nn.LSTM with lengths, bidirectional unless told otherwise.

    At each step t of its own length, every row and direction computes::

        f_t = σ(W_if x_t + b_if + W_hf h_(t−1) + b_hf)        forget gate
        i_t = σ(W_ii x_t + b_ii + W_hi h_(t−1) + b_hi)        input gate
        g_t = tanh(W_ig x_t + b_ig + W_hg h_(t−1) + b_hg)     candidate
        c_t = f_t ⊙ c_(t−1) + i_t ⊙ g_t                       cell
        o_t = σ(W_io x_t + b_io + W_ho h_(t−1) + b_ho)        output gate
        h_t = o_t ⊙ tanh(c_t)                                 hidden state (W_hr h_t with a projection)

    the reverse direction from the row's own last step back to its first. Parameters, their names and initial
    values, ``state_dict``, gate order (i, f, g, o) and the random numbers of dropout are those of
    ``torch.nn.LSTM``, whose subclass this is: checkpoints load either way, and ``isinstance(layer,
    torch.nn.LSTM)`` holds.

    Args:
        input_size: F, the features of a step.
        hidden_size: H, the units of a direction.
        num_layers: L; each layer reads both directions of the one below.
        bias: whether the gates have biases.
        batch_first: whether input and output are (B, T, …) rather than (T, B, …).
        dropout: probability with which an output of each layer but the last is zeroed in training.
        bidirectional: D = 2 if true, else D = 1. The default is torch's only difference: False there.
        proj_size: H_out if positive (then less than H); 0 means no projection and H_out = H.
        device: where the parameters live.
        dtype: the parameters' type.

    Raises:
        ParameterError: an argument is out of its range.

    Note:
        The trap: ``h_n`` is not ``output[:, -1]``. The reverse direction ends at the *first* step, and a row
        shorter than T has zeros at ``output[:, -1]``. To classify sequences use ``h_n[-2]`` and ``h_n[-1]``,
        or pool over the valid steps.

        ``torch.compile`` breaks the graph at every ``nn.LSTM``, so here too, and the layer runs eagerly between
        two graphs, as fast as ever. For one whole graph (``fullgraph=True``) set
        ``torch._dynamo.config.allow_rnn = True``. ``torch.export`` needs nothing.

    Example:
        >>> import torch
        >>> from bilstm.nn import BiLSTM
        >>> layer = BiLSTM(8, 16, batch_first=True)
        >>> output, (h_n, c_n) = layer(torch.randn(3, 5, 8), lengths=[5, 2, 0])
        >>> output.shape, h_n.shape
        (torch.Size([3, 5, 32]), torch.Size([2, 3, 16]))
        >>> bool((output[1, 2:] == 0).all())
        True

    Source:
        Hochreiter & Schmidhuber 1997, Long Short-Term Memory, Neural Computation 9(8); the forget gate: Gers,
        Schmidhuber & Cummins 2000, Learning to Forget, Neural Computation 12(10); both directions: Graves &
        Schmidhuber 2005, Framewise Phoneme Classification with Bidirectional LSTM, Neural Networks 18.
    """

    # A subclass, not a look-alike: programs ask isinstance(m, nn.LSTM) to initialise, count or prune; the
    # parameters, their flattening for cuDNN, pickling and the representation are inherited and so cannot
    # drift from torch's.

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = True,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check_sizes(input_size, hidden_size, num_layers, dropout, proj_size)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        )

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Any], prefix: str | None = None, *, batch_first: bool = False, dropout: float = 0.0
    ) -> Self:
        """The layer that a checkpoint of any ``nn.LSTM`` is of: sizes, layers, directions and projection are found.

        Args:
            state: a ``state_dict``, of the layer or of a model that holds it.
            prefix: the layer's name in that model, such as ``encoder.lstm``; None where there is one LSTM only.
            batch_first: how the layer is to be called; no checkpoint says.
            dropout: between the layers in training; no checkpoint says.

        Raises:
            DataError: there is no LSTM of that name, or several without one; or the weights are not an LSTM's.

        Example:
            >>> state = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(8, 16, bidirectional=True)}).state_dict()
            >>> BiLSTM.from_state_dict(state)
            BiLSTM(8, 16, bidirectional=True)
        """
        sizes, own = checkpoints.from_torch(state, prefix)
        layer = cls(**sizes, batch_first=batch_first, dropout=dropout)
        layer.load_state_dict(own)
        return layer

    @classmethod
    def from_keras(cls, weights: Sequence[Any], *, batch_first: bool = True) -> Self:
        """The layer that computes what an LSTM or Bidirectional(LSTM) of Keras does.

        Args:
            weights: ``layer.get_weights()``: kernel (F, 4H), recurrent kernel (H, 4H) and bias (4H,), or no bias, for
                each direction, forward first; or a list of such lists, one for each of several layers.
            batch_first: True, unlike elsewhere here, since Keras' input is (B, T, F).

        Raises:
            DataError: arrays of other shapes, or layers of different kinds.

        Note:
            The traps: merge_mode is to be ``concat``, activations tanh and sigmoid (Keras before 2.3 had a hard one).
            Masked steps give zeros here; Keras may repeat the last output. A lone LSTM with ``go_backwards=True``
            gives its output from the last step to the first: turn the input round, and the output is Keras'.

        Example:
            >>> import numpy as np
            >>> weights = [np.zeros((8, 64)), np.zeros((16, 64)), np.zeros(64)]
            >>> BiLSTM.from_keras(weights), BiLSTM.from_keras(2 * weights)
            (BiLSTM(8, 16, batch_first=True), BiLSTM(8, 16, batch_first=True, bidirectional=True))
        """
        sizes, own = checkpoints.from_keras(weights)
        layer = cls(**sizes, batch_first=batch_first)
        layer.load_state_dict(own)
        return layer

    @overload
    def forward(self, input: Tensor, hx: States | None = None, lengths: Lengths = None) -> tuple[Tensor, States]: ...

    @overload
    def forward(
        self, input: PackedSequence, hx: States | None = None, lengths: None = None
    ) -> tuple[PackedSequence, States]: ...

    def forward(
        self, input: Tensor | PackedSequence, hx: States | None = None, lengths: Lengths = None
    ) -> tuple[Tensor | PackedSequence, States]:
        """Run the layers over a batch, each row over its own length.

        Args:
            input: (T, B, F), (B, T, F) with ``batch_first``, (T, F) for one sequence, or a PackedSequence.
            hx: h_0 (L·D, B, H_out) and c_0 (L·D, B, H), without B for one sequence; zeros by default.
            lengths: B integers in 0…T, in any order and on any device; by default every row has T steps. What
                stands in ``input`` after a row's length changes nothing, NaN included.

        Returns:
            output, (T, B, D·H_out) or as ``input`` is laid out, the forward direction first and zero after
            each row's length; and (h_n, c_n), shaped like ``hx``: each direction after its own last step, for
            a row of length 0 what it began with.

        Raises:
            DataError: input, hx or lengths do not fit the layer or each other.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx, lengths)
        call = self._call(input, hx, lengths, dropout=self.dropout if self.training else 0.0)
        output, h_n, c_n = kernels.run(call)
        if input.dim() == 2:
            return output.squeeze(0), (h_n.squeeze(1), c_n.squeeze(1))
        return output if self.batch_first else output.transpose(0, 1), (h_n, c_n)

    def trace(self, input: Tensor, hx: States | None = None, lengths: Lengths = None) -> Trace:
        """Every gate, cell and hidden state of every step, as the layer computes them without dropout.

        It runs on the native kernel as ``forward`` does, at a similar speed; the equations trace what that kernel
        cannot serve (a projection, float64, another device). ``last_kernel()`` tells which it was.

        Args:
            input: as in ``forward``, without PackedSequence.
            hx: as in ``forward``.
            lengths: as in ``forward``.

        Returns:
            input_gate, forget_gate, candidate, output_gate, cell and hidden, each (L, D, B, T, H), zero after
            each row's length. The time axis is the input's in both directions; hidden is before the
            projection. B is 1 for one sequence.

            Traced natively, hidden of the top layer equals the output of ``forward`` in evaluation without
            gradients bit for bit, and so do h_n and c_n each direction's last steps; traced by the equations,
            up to rounding.

        Raises:
            DataError: input, hx or lengths do not fit the layer or each other.

        Note:
            The trap: a trace is six times L·D·B·T·H numbers, and takes twice that while it is made. Trace the
            rows that are looked at, and under ``torch.no_grad()``: a gradient of a trace is there, but it runs
            the slow equations.

        Example:
            >>> import torch
            >>> from bilstm.nn import BiLSTM
            >>> layer, x = BiLSTM(8, 16, batch_first=True), torch.randn(3, 5, 8)
            >>> with torch.no_grad():
            ...     trace, (output, _) = layer.trace(x), layer(x)
            >>> trace.forget_gate.shape
            torch.Size([1, 2, 3, 5, 16])
            >>> bool((torch.cat([*trace.hidden[-1]], dim=2) - output).abs().max() < 1e-6)
            True
        """
        if isinstance(input, PackedSequence):
            raise DataError(
                "expected a tensor to trace, got a PackedSequence",
                hint="pad_packed_sequence makes input and lengths of it",
            )
        return kernels.trace(self._call(input, hx, lengths, dropout=0.0))

    def _forward_packed(
        self, input: PackedSequence, hx: States | None, lengths: object
    ) -> tuple[PackedSequence, States]:
        if lengths is not None:
            raise DataError(
                "expected no lengths beside a PackedSequence, got both",
                hint="a PackedSequence carries its lengths: leave the argument out",
            )
        x, lengths_of_rows = pad_packed_sequence(input, batch_first=True)  # the caller's order
        x = x if self.batch_first else x.transpose(0, 1)
        output, states = self.forward(x, hx, lengths_of_rows)
        output = output if self.batch_first else output.transpose(0, 1)
        if input.sorted_indices is not None:
            output = output.index_select(0, input.sorted_indices)
            lengths_of_rows = lengths_of_rows.index_select(0, input.sorted_indices.cpu())
        data = pack_padded_sequence(output, lengths_of_rows, batch_first=True).data
        return input._replace(data=data), states

    def _call(self, input: Tensor, hx: States | None, lengths: object, dropout: float) -> Call:
        """Check everything and lay it out as the kernels take it: batch first, lengths on the CPU."""
        weights = self.layer_weights()
        _check_input(input, self.input_size, weights[0][0].input.dtype)
        x = input.unsqueeze(0 if self.batch_first else 1) if input.dim() == 2 else input
        x = x if self.batch_first else x.transpose(0, 1)  # (B, T, F)
        B, T, _ = x.shape
        h0, c0 = (None, None) if hx is None else self._states(hx, x, batched=input.dim() == 3)
        rows = None if lengths is None else row_lengths(lengths, B, T)
        return Call(x, h0, c0, weights, rows, self._dropout_masks(x, dropout))

    def _states(self, hx: States, x: Tensor, batched: bool) -> States:
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise DataError("expected hx as the pair (h_0, c_0), got " + type(hx).__name__)
        rows = self.num_layers * (2 if self.bidirectional else 1)
        batch = (x.shape[0],) if batched else ()
        for name, state, width in zip(
            ("h_0", "c_0"), hx, (self.proj_size or self.hidden_size, self.hidden_size), strict=True
        ):
            expected = (rows, *batch, width)
            if tuple(state.shape) != expected:
                raise DataError(
                    f"expected {name} of shape {expected}, got {tuple(state.shape)} (hx)",
                    hint="states are (layers × directions, batch, units), whatever batch_first says",
                )
            _check_dtype(state, x.dtype, name)
        h0, c0 = hx
        return (h0, c0) if batched else (h0.unsqueeze(1), c0.unsqueeze(1))

    def layer_weights(self) -> list[list[Weights]]:
        """weights[layer][direction], read anew at each call: they may be replaced, as torch.func does."""
        # the attribute of a module takes twenty times as long, but finds what is no parameter (any more), too
        own = self._parameters
        tensors: Any = iter([own[name] if name in own else getattr(self, name) for name in self._flat_weights_names])
        return [
            [
                Weights(
                    next(tensors),
                    next(tensors),
                    next(tensors) if self.bias else None,
                    next(tensors) if self.bias else None,
                    next(tensors) if self.proj_size else None,
                )
                for _ in range(2 if self.bidirectional else 1)
            ]
            for _ in range(self.num_layers)
        ]

    def _dropout_masks(self, x: Tensor, dropout: float) -> list[Tensor] | None:
        """Drawn here so that every kernel drops the same; drawn time first, as torch.nn.LSTM draws them."""
        if dropout == 0.0 or self.num_layers == 1:
            return None
        (B, T, _), width = x.shape, (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)
        kept = torch.ones(T, B, width, dtype=x.dtype, device=x.device)
        return [nn.functional.dropout(kept, dropout).transpose(0, 1) for _ in range(self.num_layers - 1)]


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, dropout: float, proj_size: int) -> None:
    """All values out of range at once; wrong types are refused by torch.nn.LSTM, with its TypeError."""
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    wrong = [f"{name} of at least 1, got {size}" for name, size in sizes.items() if isinstance(size, int) and size < 1]
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        wrong.append(f"dropout from 0 to 1, got {dropout!r}")
    if proj_size < 0 or (proj_size > 0 and proj_size >= hidden_size):
        wrong.append(f"proj_size of 0 or less than hidden_size, {hidden_size}, got {proj_size}")
    if wrong:
        raise ParameterError("expected " + "; ".join(wrong) + " (BiLSTM)")


def _check_input(input: Tensor, features: int, dtype: torch.dtype) -> None:
    if input.dim() not in (2, 3):
        raise DataError(
            f"expected input of 3 dimensions, or 2 for one sequence, got shape {tuple(input.shape)}",
            hint="a batch is (time, batch, features), or (batch, time, features) with batch_first=True",
        )
    if input.shape[-1] != features:
        raise DataError(
            f"expected input of {features} features, got {input.shape[-1]} (shape {tuple(input.shape)})",
            hint=f"features are the last axis; this layer was made with input_size={features}",
        )
    _check_dtype(input, dtype, "input")


def _check_dtype(tensor: Tensor, dtype: torch.dtype, name: str) -> None:
    if tensor.dtype != dtype and not torch.is_autocast_enabled(tensor.device.type):
        raise DataError(
            f"expected {name} of type {dtype}, got {tensor.dtype}",
            hint=f"convert it, {name}.to({dtype}), or the layer, layer.to({tensor.dtype})",
        )


def every_length(lengths: Lengths, B: int, T: int) -> Tensor:
    """(B,) int64 on the CPU; T for each row where no lengths are given."""
    rows = None if lengths is None else row_lengths(lengths, B, T)
    return torch.full((B,), T, dtype=torch.int64, device="cpu") if rows is None else rows


def row_lengths(lengths: Any, B: int, T: int) -> Tensor | None:
    """(B,) int64 on the CPU; None where every row has T steps."""
    if isinstance(lengths, Tensor):
        whole = not (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool)
    else:
        try:
            lengths = list(lengths)
            whole = not any(isinstance(length, bool) for length in lengths)
            lengths = torch.tensor([operator.index(n) for n in lengths], dtype=torch.int64) if whole else lengths
        except TypeError:
            whole = False
    if not whole:
        raise DataError(
            f"expected lengths as whole numbers, got {lengths}",
            hint="from a mask that is True on valid steps: lengths = mask.sum(1)",
        )
    if tuple(lengths.shape) != (B,):
        raise DataError(
            f"expected {B} lengths, one for each row, got shape {tuple(lengths.shape)}",
            hint="rows are counted along the batch axis; batch_first says which that is",
        )
    rows: Tensor = lengths.to("cpu", torch.int64)
    if core.watched() or type(rows) is not Tensor or torch._C._functorch.is_functorch_wrapped_tensor(rows):
        return rows  # they have no values that one could look at
    if B == 0:
        return None
    shortest, longest = rows.aminmax()
    if int(shortest) < 0 or int(longest) > T:
        equations.check_lengths(rows, T)
    return None if int(shortest) == T else rows
