"""Give every nn.LSTM of a model the kernels of BiLSTM, in place. Knows layers by their class; runs none of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrize

from bilstm.nn import BiLSTM
from bilstm.nn.lstm import accelerated
from bilstm.surgery.example import check_is_module


class Surgery(NamedTuple):
    """What ``accelerate`` did; layers have the names of ``named_modules``, where ``""`` is the module itself."""

    swapped: list[str]  # the layers that this package's kernels run now
    left: list[tuple[str, str]]  # the other recurrent layers, each with the reason why it was left as it was

    def __str__(self) -> str:
        if not self.swapped and not self.left:
            return "found no recurrent layer"
        names = ", ".join(map(_shown, self.swapped)) or "none"
        return "\n".join([f"swapped: {names}", *(f"left: {_shown(name)}: {reason}" for name, reason in self.left)])


def accelerate(module: nn.Module) -> Surgery:
    """Let every ``torch.nn.LSTM`` inside a model run on the kernels of ``bilstm.nn.BiLSTM``, in place.

    A layer stays the very object that it was, with its class, parameters, hooks and modes, and only gets a
    ``forward`` of its own, which takes ``lengths`` too. So optimizers made before still train it, ``state_dict``
    keeps its names, a layer that is used in two places is still one, what asks ``type(layer) is nn.LSTM`` (initial
    values, quantization, counters of operations) still finds it, and the model's results are the same up to
    rounding, for padded and for packed input.

    Args:
        module: any model; a bare ``nn.LSTM`` too.

    Returns:
        The names of the layers that now have it, ``swapped``, and of those left alone with the reason, ``left``:
        subclasses of ``nn.LSTM``, parametrized layers, those with projections, compiled by TorchScript, quantized,
        or on a GPU, where cuDNN is fast already; GRUs and cells.

    Raises:
        DataError: module is no ``torch.nn.Module``.

    Note:
        The trap: a model *pickled whole* afterwards wants this package where it is loaded (a ``state_dict`` does
        not). ``bilstm.surgery.restore`` is the way back. TorchScript compiles torch's own layer, and puts it back in
        a model that it compiles. In training, dropout between the layers of a packed batch draws other numbers than
        torch does, of the same chance.

    Example:
        >>> import torch
        >>> from bilstm import accelerate
        >>> from bilstm.surgery import restore
        >>> model = torch.nn.Sequential(torch.nn.LSTM(8, 16, bidirectional=True))
        >>> print(accelerate(model))
        swapped: 0
        >>> type(model[0]) is torch.nn.LSTM, restore(model), accelerate(model).swapped
        (True, ['0'], ['0'])
    """
    check_is_module(module, "accelerate")
    swapped, left = [], []
    for name, layer in module.named_modules():
        reason = _obstacle(layer)
        if reason is not None:
            left.append((name, reason))
        elif type(layer) is nn.LSTM:
            accelerated.accelerate(layer)
            swapped.append(name)
    return Surgery(swapped, left)


def restore(module: nn.Module) -> list[str]:
    """Undo ``accelerate``: every layer runs on torch's own routine again.

    Args:
        module: any model; a bare ``nn.LSTM`` too.

    Returns:
        The names of the layers that were accelerated.

    Raises:
        DataError: module is no ``torch.nn.Module``.

    Example:
        >>> import torch
        >>> from bilstm import accelerate
        >>> from bilstm.surgery import restore
        >>> layer = torch.nn.LSTM(8, 16)
        >>> restore(layer), accelerate(layer).swapped, restore(layer)
        ([], [''], [''])
    """
    check_is_module(module, "restore")
    names = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.LSTM) and accelerated.is_accelerated(layer):
            accelerated.restore(layer)
            names.append(name)
    return names


def _obstacle(layer: nn.Module) -> str | None:
    """Why a recurrent layer is to stay what it is; None for layers that are not recurrent."""
    name = type(layer).__name__
    if type(layer) is nn.LSTM:
        if accelerated.is_accelerated(layer):
            return "is accelerated already"
        if "forward" in vars(layer):
            return "its forward was replaced"
        if layer.proj_size:
            return "has a projection, which no fast kernel knows"
        devices = sorted({parameter.device.type for parameter in layer.parameters()} - {"cpu"})
        return f"is on {devices[0]}; the fast kernels run on a CPU" if devices else None
    if isinstance(layer, BiLSTM):
        return "is a BiLSTM already"
    if isinstance(layer, torch.jit.ScriptModule):
        return "was compiled by TorchScript" if layer.original_name == "LSTM" else None
    if isinstance(layer, nn.LSTM):
        if parametrize.is_parametrized(layer):
            return f"is parametrized ({', '.join(map(str, vars(layer)['_modules']['parametrizations']))})"
        return f"is of a class of its own, {type(layer).__module__}.{name}"
    if isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        return f"is of class {name}, not LSTM"
    if type(layer).__module__.startswith("torch.ao.") and name == "LSTM":
        return "is quantized"
    return None


def _shown(name: str) -> str:
    return name or "(the module itself)"
