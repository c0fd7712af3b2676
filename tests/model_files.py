"""Model files that are wrong: with other headers, other values in them, other bytes."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import bilstm
from bilstm.errors import ModelFileError
from bilstm.training.progress import peak_memory

MOST = 64_000_000  # bytes that a file of some kilobytes may take while it is read or refused


def hostile(count):
    """So many examples of files that somebody may send: a few bytes that keep us busy for a minute are a fault."""
    return settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=count, deadline=60_000)


def with_header(path, change):
    """The bytes of a model file with its bilstm header changed by a function."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    outer = json.loads(raw[8 : 8 + length])
    header = json.loads(outer["__metadata__"]["bilstm"])
    change(header)
    outer["__metadata__"]["bilstm"] = json.dumps(header)
    text = json.dumps(outer).encode()
    return struct.pack("<Q", len(text)) + text + raw[8 + length :]


def put(**values):
    return lambda header: header.update(values)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


def exchange(node, data):
    """Put something else in the place of one value, however deep it lies."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = data.draw(st.sampled_from(keys))
    if isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans()):
        exchange(node[key], data)
    else:
        node[key] = data.draw(json_values)


def try_to_load(path, raw):
    """Load bytes that may be wrong: a model or a ModelFileError, and memory in proportion to the file."""
    path.write_bytes(raw)
    before = peak_from_now_on()
    with contextlib.suppress(ModelFileError):
        bilstm.load(path)
    grown = peak_memory() - before
    assert grown < MOST, f"a file of {len(raw)} bytes took {grown} bytes of memory"


def peak_from_now_on():
    """The process's peak of memory, which the system counts anew from what is held now, where it can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()
