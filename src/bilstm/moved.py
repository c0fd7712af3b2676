"""Modules that an earlier version had under another name: importing one gives the new module, and a warning.

The one table of such names. An entry stays for one minor version; see docs/stability.md.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

TYPE_CHECKING = False  # the module typing, like importlib.abc, would take longer than all the rest of the package
if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object

MOVED = {
    "bilstm.data.invented": "bilstm.demo.invented",
    "bilstm.data.tones": "bilstm.demo.tones",
    "bilstm.nn.equations": "bilstm.nn.lstm.equations",
    "bilstm.plots": "bilstm.report.plots",
    "bilstm.workers": "bilstm.training.workers",
}


class _Redirect(Loader):
    """Finds and loads the modules of the table; Python asks it last."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        warnings.warn(f"The module {old} is now called {MOVED[old]}.", DeprecationWarning, stacklevel=2)
        sys.modules[old] = import_module(MOVED[old])  # import takes what stands here, not the empty module it made


def redirect() -> None:
    """Make the old names importable; called once, when the package is imported."""
    if not any(isinstance(finder, _Redirect) for finder in sys.meta_path):
        sys.meta_path.append(_Redirect())
