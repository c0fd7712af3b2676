"""One file with a JSON header and tensors: safetensors, written atomically, read without trust.

Knows the outer format only; what stands in the header is the business of model_file and checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from bilstm.errors import ModelFileError
from bilstm.files.output import write_whole
from bilstm.files.schema import DTYPES, MOST_AXES, TENSOR, Each, check

KEY = "bilstm"  # the one entry of safetensors' __metadata__ that this package reads
MOST_HEADER_BYTES = 100_000_000  # the limit that safetensors itself sets


def write(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor], *, durable: bool = True) -> None:
    """Write a file so that at every moment ``path`` holds either the old content or the new, never a part.

    The header is anything that JSON can say, without NaN; tensors must not share memory. A ``durable`` write waits
    until the disk has it, so that a power cut loses nothing.
    """
    data = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={KEY: json.dumps(header, allow_nan=False)},
    )
    write_whole(path, data, error=ModelFileError, durable=durable)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file written by :func:`write`, in memory of their own.

    What is done to the file afterwards does not reach them. The file is opened once, and sizes are checked against its
    own before anything is allocated.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            before = os.fstat(file.fileno())
            outer = _outer(file, before, path)
            header = _own(outer, path)
            tensors = _tensors(file, outer, before.st_size - file.tell(), path)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ModelFileError(f"expected a whole model file, got one that is being written to ({path})", hint=_REPLACE)
    return header, tensors


_HINT = "a model file is written by `bilstm fit … -o model.bilstm` or estimator.save(path); copy it again"
_REPLACE = "copy it to another name first, then rename it"
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def _without_waiting(path: str, flags: int) -> int:
    """Opens as ``open`` does; but a pipe that nobody writes to is opened, too, so that it can be refused."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _outer(file: BufferedReader, status: os.stat_result, path: Path) -> dict[str, Any]:
    """The whole header, as safetensors has it."""
    size = status.st_size
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"expected a model file, got a pipe or a device ({path})", hint=_HINT)
    if size < 8:
        raise ModelFileError(f"expected a model file, got {size} bytes ({path})", hint=_HINT)
    length = int.from_bytes(file.read(8), "little")
    if length > min(MOST_HEADER_BYTES, size - 8):
        got = f"its header would take {length} of {size} bytes ({path})"
        message = f"expected a model file, got one that is cut short or of another kind: {got}"
        raise ModelFileError(message, hint=_HINT)
    return _object(file.read(length), path)


def _tensors(file: BufferedReader, outer: dict[str, Any], size: int, path: Path) -> dict[str, Tensor]:
    """The tensors behind the header, which must fill the rest of the file without a gap."""
    told = {name: entry for name, entry in outer.items() if name != "__metadata__"}
    try:
        check(told, Each(TENSOR), "")
        end = 0
        places = sorted(told, key=lambda name: told[name]["data_offsets"])
        for entry in map(told.__getitem__, places):
            begin, end = end, end + DTYPES[entry["dtype"]].itemsize * math.prod(entry["shape"][:MOST_AXES])
            if entry["data_offsets"] != [begin, end] or len(entry["shape"]) > MOST_AXES:
                raise ValueError(f"expected a tensor at bytes {begin} to {end}, got {reprlib.repr(entry)}")
        if end != size:
            raise ValueError(f"its tensors take {end} bytes, and {size} are there")
        tensors = {name: torch.empty(told[name]["shape"], dtype=DTYPES[told[name]["dtype"]]) for name in places}
        for tensor in tensors.values():
            if file.readinto(tensor.flatten().view(torch.uint8).numpy().data) != tensor.nbytes:
                raise ValueError("it is cut short")
    except (ModelFileError, ValueError, RuntimeError) as error:
        message = getattr(error, "message", error)
        raise ModelFileError(f"expected a whole model file, got a damaged one: {message} ({path})", _HINT) from None
    return tensors


def _object(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        outer = json.loads(raw)
        if _HALF.search(raw):  # half of a pair of UTF-16 is no text: nothing could write it again
            json.dumps(outer, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        outer = None
    if not isinstance(outer, dict) or not isinstance(outer.get("__metadata__", {}), dict):
        raise ModelFileError(f"expected a model file, got a damaged header ({path})", hint=_HINT)
    return outer


def _own(outer: dict[str, Any], path: Path) -> dict[str, Any]:
    """What this package has written into the header."""
    text = outer.get("__metadata__", {}).get(KEY)
    if not isinstance(text, str):
        message = f"expected a model file of bilstm, got a safetensors file of something else ({path})"
        raise ModelFileError(message, hint=_HINT)
    return _object(text.encode(), path)
