"""Hypothesis draws whole cases: every dimension of a recurrent layer varies, for a fuzz is worth those."""

from __future__ import annotations

import os

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.cases import Case


@st.composite
def cases(
    draw: st.DrawFn,
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64),
    projected: bool = True,
) -> Case:
    """Any small call, empty batches and empty rows included; sizes are no multiple of a vector's width."""
    batch, time = draw(st.integers(0, 6)), draw(st.integers(0, 7))
    hidden = draw(st.sampled_from([1, 3, 5, 9, 17]))
    return Case(
        batch=batch,
        time=time,
        features=draw(st.sampled_from([1, 2, 5, 11])),
        hidden=hidden,
        layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        bias=draw(st.booleans()),
        proj_size=draw(st.sampled_from([0, 0, 0, hidden // 2] if projected else [0])),
        lengths=draw(lengths(batch, time)),
        states=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        dtype=draw(st.sampled_from(dtypes)),
        threads=draw(st.sampled_from([1, 2])),
        seed=draw(st.integers(0, 10_000)),
    )


def lengths(batch: int, time: int) -> st.SearchStrategy[tuple[int, ...] | None]:
    """None, any lengths at all (zeros and ones with them), or one length for every row."""
    each = st.integers(0, time)
    unequal = st.lists(each, min_size=batch, max_size=batch).map(tuple)
    equal = each.map(lambda length: (length,) * batch)
    return st.one_of(st.none(), unequal, unequal, equal)


# For what takes long: few examples, or as many as BILSTM_EXAMPLES says. All else is that of the profile in conftest.py.
FUZZ = settings(
    max_examples=int(os.environ.get("BILSTM_EXAMPLES", "12")),
    suppress_health_check=[HealthCheck.too_slow],
)
