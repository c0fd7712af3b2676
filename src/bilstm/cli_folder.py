"""A folder of tables as DATA of `bilstm fit`: which options it takes. Knows options; what is read `data` knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.errors import DataError, ParameterError, did_you_mean

if TYPE_CHECKING:
    from bilstm.data.stream import Stream


def read_folder_for_fit(data: str, task: str, reading: dict[str, Any]) -> Stream:
    """DATA for training, a folder or a pattern of files, read piece by piece.

    Args:
        data: as the user gave it.
        task: one word.
        reading: the options that say how DATA is read, by name.
    """
    from bilstm.data.folder import columns_in, read_folder

    if "time" in reading or "sound" in reading:
        hint = "a regressor, a classifier or a tagger reads a folder piece by piece"
        hint = hint if "time" in reading else "a table with the columns path and text says what is said in each sound"
        raise DataError(f"expected one file for a {task}, got a folder ({data})", hint=hint)
    if "tag" in reading:
        return read_folder(data, text=reading["text"], tag=reading["tag"])
    target, text = reading["target"], reading.get("text")
    if not target:
        hint = did_you_mean("", columns_in(data), 20)
        raise DataError(f"expected --target, the column to predict, got none ({data})", hint=hint)
    others = {name: reading[name] for name in ("drop", "category", "group", "order")}
    if text is not None:
        for option in [name for name, value in others.items() if value]:
            raise ParameterError(f"expected no --{option} beside --text {text}, got {others[option]!r}")
        return read_folder(data, target=target, text=text)
    kinds = dict.fromkeys(others.pop("category"), "category")
    return read_folder(data, target=target, kinds=kinds, **others)


def is_folder(data: str) -> bool:
    """Whether DATA names a folder, or is a pattern of files, rather than a file."""
    return Path(data).is_dir() or (any(sign in data for sign in "*?[") and not Path(data).exists())
