"""One file with a JSON header and tensors: safetensors, written atomically, read without trust.

Knows the outer format only; what stands in the header is the business of model_file and checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from bilstm.errors import ModelFileError
from bilstm.files.output import write_whole

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
    """The header and the tensors of a file written by :func:`write`; sizes are checked before anything is allocated."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8:
                raise ModelFileError(f"expected a model file, got {size} bytes ({path})", hint=_HINT)
            if length > min(MOST_HEADER_BYTES, size - 8):
                got = f"its header would take {length} of {size} bytes ({path})"
                message = f"expected a model file, got one that is cut short or of another kind: {got}"
                raise ModelFileError(message, hint=_HINT)
            raw = file.read(length)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    header = _header(raw, path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise ModelFileError(f"expected a whole model file, got a damaged one ({path}): {error}", hint=_HINT) from None
    return header, tensors


_HINT = "a model file is written by `bilstm fit … -o model.bilstm` or estimator.save(path); copy it again"


def _header(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        outer = json.loads(raw)
        metadata = outer.get("__metadata__", {})
        header = json.loads(metadata[KEY]) if KEY in metadata else None
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise ModelFileError(f"expected a model file, got a damaged header ({path})", hint=_HINT) from None
    if not isinstance(header, dict):
        message = f"expected a model file of bilstm, got a safetensors file of something else ({path})"
        raise ModelFileError(message, hint=_HINT)
    return header
