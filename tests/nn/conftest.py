"""What tests of compiled networks share: a compiler that has seen nothing yet."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def fresh_compiler():
    """Nothing is compiled, and random numbers begin anew."""
    torch._dynamo.reset()
    torch.manual_seed(0)
