"""One small Ray cluster for all tests of this folder: a start costs seconds."""

from __future__ import annotations

import warnings

import pytest


@pytest.fixture(scope="session")
def cluster():
    """Ray, started here with two processors to lend, and ended after the tests."""
    pytest.importorskip("ray")
    from bilstm.cluster.connection import connected

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own: of sockets that its processes keep
        with connected(None, 2) as ray:
            yield ray
