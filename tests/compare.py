"""The one way in which tests compare numbers. A comparison without an assertion cannot be written with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.to(torch.float32) if value.dtype == torch.bfloat16 else value
        return value.numpy()
    return np.asarray(value)


def assert_close(actual: Any, expected: Any, *, atol: float = 0.0, rtol: float = 0.0, what: str = "values") -> None:
    """Assert equal shapes and |actual − expected| ≤ atol + rtol·|expected|; the default demands equality.

    NaN equals NaN only, an infinity itself only; the message names the worst place.
    """
    a, e = _array(actual), _array(expected)
    assert a.shape == e.shape, f"{what}: shape {a.shape}, expected {e.shape}"
    if a.size == 0:
        return
    if a.dtype.kind not in "fc" and e.dtype.kind not in "fc":
        different = a != e
        assert not different.any(), f"{what}: {int(different.sum())} of {a.size} differ, got {a}, expected {e}"
        return
    a, e = a.astype(np.float64), e.astype(np.float64)
    assert (np.isnan(a) == np.isnan(e)).all(), f"{what}: NaN in different places"
    with np.errstate(invalid="ignore"):
        difference = np.abs(a - e)
        excess = np.where(np.isinf(a) | np.isinf(e), np.inf, difference - (atol + rtol * np.abs(e)))
    excess = np.where((a == e) | np.isnan(a), -np.inf, excess)
    worst = np.unravel_index(int(np.argmax(excess)), a.shape)
    where, off = tuple(int(i) for i in worst), difference[worst]
    assert excess[worst] <= 0.0, f"{what}: at {where} got {a[worst]!r}, expected {e[worst]!r} (off by {off:.3g})"
