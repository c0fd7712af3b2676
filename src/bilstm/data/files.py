"""Whether a path leads to a file that can be read. Knows paths; what stands in a file the readers know."""

from __future__ import annotations

import zlib
from pathlib import Path

from bilstm.errors import DataError, did_you_mean

DAMAGED = (OSError, EOFError, zlib.error)  # what Python raises for a file that cannot be read to its end, packed or not


def existing_file(path: str | Path, what: str) -> Path:
    """The path of a file that is there and holds something.

    Args:
        path: as the user gave it.
        what: what the file should hold, for the message: ``a table``.

    Raises:
        DataError: there is nothing at the path (the hint names the nearest neighbour), or a folder, or an empty file.

    Example:
        >>> existing_file(".", "a table")
        Traceback (most recent call last):
        bilstm.errors.DataError: expected a file, got a folder (.)
    """
    path = Path(path)
    if not path.exists():
        folder = path.parent
        near = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        hint = did_you_mean(path.name, near) if near else "check the path"
        raise DataError(f"expected a file, got a path where there is none ({path})", hint=hint)
    if path.is_dir():
        raise DataError(f"expected a file, got a folder ({path})")
    if path.stat().st_size == 0:
        raise DataError(f"expected {what}, got an empty file ({path})")
    return path
