"""An nn.LSTM that computes as a BiLSTM does and stays an nn.LSTM: its forward is an attribute of the object.

An attribute does not know whose copy it has become. So this file knows what Python and torch ask an object for when
they copy one: copies, pickles, replicas of DataParallel, TorchScript.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

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

    def reduce(self, protocol: object) -> tuple[Callable[..., nn.LSTM], tuple[type[nn.LSTM]], dict[str, Any]]:
        """What ``copy`` and ``pickle`` ask for: a layer that is accelerated itself, and takes the state over."""
        state = nn.LSTM.__getstate__(self.layer)  # type: ignore[no-untyped-call]
        return _new, (type(self.layer),), {name: state[name] for name in state.keys() - _attributes(self)}


def _attributes(forward: Forward) -> dict[str, object]:
    return {
        "forward": forward,
        "_replicate_for_data_parallel": forward.replicate,
        "__prepare_scriptable__": forward.scriptable,
        "__reduce_ex__": forward.reduce,
    }


def _new(kind: type[nn.LSTM]) -> nn.LSTM:
    layer = kind.__new__(kind)
    accelerate(layer)
    return layer


def accelerate(layer: nn.LSTM) -> None:
    vars(layer).update(_attributes(Forward(layer)))


def is_accelerated(layer: nn.Module) -> bool:
    return isinstance(vars(layer).get("forward"), Forward)


def restore(layer: nn.LSTM) -> None:
    for name in _attributes(vars(layer)["forward"]):
        del vars(layer)[name]


def plain(layer: nn.LSTM) -> nn.LSTM:
    """Torch's own layer over the same parameters, which TorchScript can compile."""
    twin = nn.LSTM.__new__(nn.LSTM)
    twin.__dict__ = dict(layer.__dict__)
    if is_accelerated(twin):
        restore(twin)
    return twin
