"""The layer: torch.nn.LSTM's parameters and manners, lengths as an argument, any kernel underneath.

Knows the parameters and where they come from; how a call is checked and laid out is known to calls.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from bilstm.errors import ParameterError
from bilstm.nn.lstm import accelerated, calls, checkpoints
from bilstm.nn.lstm.calls import Lengths, States
from bilstm.nn.lstm.equations import Trace


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
        return calls.forward(self, input, hx, lengths)

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
        return calls.trace(self, input, hx, lengths)

    def __prepare_scriptable__(self) -> nn.LSTM:
        """What torch.jit.script compiles: it knows no lengths."""
        return accelerated.plain(self)


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
