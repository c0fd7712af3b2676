"""Every file that is written as a result: a model, a table, a picture, a page. Knows bytes and where they go."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from bilstm.errors import BilstmError, DataError

LONGEST_NAME = 255  # bytes that file systems give a name


def write_whole(path: Path, data: bytes, *, error: type[BilstmError] = DataError, durable: bool = False) -> None:
    """Write a file so that at every moment ``path`` holds either the old content or the new, never a part.

    What a link leads to is written, and the link stays. A pipe or a device takes the bytes as they are. A new file has
    the permissions of an ordinary new file, one that was there keeps its own. A ``durable`` write waits until the disk
    has it, so that a power cut loses nothing. What cannot be written is an ``error``.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data, durable)
    except OSError as reason:
        raise error(f"Cannot write {path}: {reason.strerror}.", hint="choose another file") from None


def beside(path: Path, ending: str) -> Path:
    """The file of the same name with an ``ending`` more; where that name would be too long, one of its digest.

    Example:
        >>> beside(Path("a/houses.bilstm"), ".checkpoint"), len(beside(Path("x" * 250), ".checkpoint").name)
        (PosixPath('a/houses.bilstm.checkpoint'), 43)
    """
    name = path.name + ending
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32] + ending
    return path.with_name(name)


def _replace(path: Path, data: bytes, durable: bool) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # which fits however long the name of the file is
    # the kernel applies the umask, which belongs to the whole process: to ask for it is to change it
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
