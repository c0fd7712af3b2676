"""Which kernels a CRF and CTC have here, and blocks in which one of them, or one instruction set, is forced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch import Tensor

from bilstm.nn import core, last_kernel, use_kernel

ISAS = core.isas()
KERNELS = ["native", "equations"] if ISAS else ["equations"]
on_every_kernel = pytest.mark.parametrize("kernel", KERNELS)
needs_native = pytest.mark.skipif(not ISAS, reason="the compiled module bilstm._native is not built")


@contextmanager
def running(kernel: str, outputs: Tensor | None = None) -> Iterator[None]:
    """Only this kernel, and it did run; outputs without a number are the equations' own."""
    with use_kernel(kernel):
        yield
        assert last_kernel() == ("equations" if outputs is not None and outputs.numel() == 0 else kernel)


@contextmanager
def forced(isa: str) -> Iterator[None]:
    """Native with this instruction set, and no other."""
    with pytest.MonkeyPatch.context() as patch, use_kernel("native"):
        patch.setenv("BILSTM_ISA", isa)
        yield
