"""An nn.LSTM that computes as a BiLSTM does and stays an nn.LSTM: its forward is an attribute of the object.

Knows what else torch asks an object for when it copies a layer: replicas of DataParallel, TorchScript, pickle.
"""

from __future__ import annotations

import weakref
from typing import Self

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from bilstm.nn.lstm import calls
from bilstm.nn.lstm.calls import Lengths, Output, States


class Forward:
    """What stands in for the method ``forward`` of one nn.LSTM, with ``lengths`` as BiLSTM has them."""

    def __init__(self, layer: nn.LSTM) -> None:
        self._layer = weakref.ref(layer)  # the layer holds this: two that hold each other are freed late

    def __call__(self, input: Tensor | PackedSequence, hx: States | None = None, lengths: Lengths = None) -> Output:
        return calls.forward(self.layer, input, hx, lengths)

    def __reduce__(self) -> tuple[type[Self], tuple[nn.LSTM]]:
        return type(self), (self.layer,)  # of a copy of the layer when that is copied, too

    @property
    def layer(self) -> nn.LSTM:
        layer = self._layer()
        assert layer is not None, "The layer of this forward is gone."
        return layer

    def replicate(self) -> nn.LSTM:
        """A replica as DataParallel wants it, whose own weights are read."""
        replica: nn.LSTM = nn.LSTM._replicate_for_data_parallel(self.layer)  # type: ignore[no-untyped-call]
        accelerate(replica)
        return replica

    def scriptable(self) -> nn.LSTM:
        return plain(self.layer)


def plain(layer: nn.LSTM) -> nn.LSTM:
    """Torch's own layer over the same parameters, which TorchScript can compile."""
    twin = nn.LSTM.__new__(nn.LSTM)
    twin.__dict__ = dict(layer.__dict__)
    restore(twin)
    return twin


def is_accelerated(layer: nn.Module) -> bool:
    return isinstance(vars(layer).get("forward"), Forward)


def accelerate(layer: nn.LSTM) -> None:
    """Give a layer a forward of its own, and what torch asks an object for when it copies one in ways of its own."""
    forward = Forward(layer)
    names = {"_replicate_for_data_parallel": forward.replicate, "__prepare_scriptable__": forward.scriptable}
    vars(layer).update(forward=forward, **names)


def restore(layer: nn.LSTM) -> None:
    for name in ("forward", "_replicate_for_data_parallel", "__prepare_scriptable__"):
        vars(layer).pop(name, None)
