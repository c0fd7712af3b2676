"""Bidirectional LSTMs: the equations, a layer that is nn.LSTM with lengths, and finished models from a file.

The public names stand in ``__init__.pyi``, each once, where type checkers read them too. They are resolved on first
use, so that ``import bilstm`` is instant.
"""

from __future__ import annotations

import lazy_loader

from bilstm.moved import redirect

_public, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)
redirect()


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("bilstm")
    return _public(name)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
