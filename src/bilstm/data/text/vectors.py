"""Pre-trained word vectors from text files: GloVe, word2vec, fastText. Knows the files; not what uses them.

One word a line with its numbers behind it, parted by blanks; perhaps a first line with the number of words and of
dimensions; perhaps compressed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.source import DAMAGED, existing_file, open_text
from bilstm.errors import DataError


def read_vectors(path: str | Path, needed: Collection[str], most: int = 0) -> tuple[list[str], Array]:
    """Read the vectors, (V, D) float32, of the needed words and of the ``most`` first, most frequent, words of a file.

    They stand in the order of the file, a ``.txt`` or ``.vec``, also packed, with a header line or without.
    """
    path = existing_file(path, "word vectors")
    words: list[str] = []
    numbers: list[str] = []
    lines: list[int] = []
    dimensions = 0
    try:
        with open_text(path, newline="\n") as file:
            for number, line in enumerate(file, 1):
                if number == 1 and re.fullmatch(r"\s*\d+\s+\d+\s*", line):
                    dimensions = int(line.split()[1])
                    continue
                line = line.rstrip()
                dimensions = dimensions or line.count(" ")
                fields = line.rsplit(" ", dimensions)  # a word may hold blanks, as in ". . ."
                if len(fields) != dimensions + 1 or not fields[0] or dimensions == 0 or fields[1][:1].isalpha():
                    expected, got = dimensions or "its", len(line.split(" ")) - 1
                    raise DataError(
                        f"expected a word and {expected} numbers, got {got} ({path}, line {number})",
                        hint="the file is cut off, or holds vectors of different sizes",
                    )
                if len(words) < most or fields[0] in needed:
                    words.append(fields[0])
                    numbers.append(line[len(fields[0]) :])
                    lines.append(number)
    except UnicodeDecodeError:
        raise DataError(f"expected word vectors as UTF-8 text, got other bytes ({path})") from None
    except DAMAGED as error:
        raise DataError(f"expected word vectors, got a file that cannot be read: {error} ({path})") from None
    if dimensions == 0:
        raise DataError(f"expected word vectors, got an empty file ({path})")
    if not words:
        return [], np.zeros((0, dimensions), dtype=np.float32)
    first: dict[str, int] = {}  # some files name a word twice; its first vector counts
    for row, word in enumerate(words):
        first.setdefault(word, row)
    return list(first), _numbers(numbers, lines, dimensions, path)[list(first.values())]


def _numbers(texts: list[str], lines: list[int], dimensions: int, path: Path) -> Array:
    """All vectors at once; only where that fails, line by line to name the one."""
    try:
        values = np.array(" ".join(texts).split(), dtype=np.float32)
    except ValueError:
        for text, line in zip(texts, lines, strict=True):
            try:
                np.array(text.split(), dtype=np.float32)
            except ValueError as error:
                raise DataError(f"expected numbers behind the word, got {error} ({path}, line {line})") from None
        raise
    vectors: Array = values.reshape(len(texts), dimensions)
    if not np.isfinite(vectors).all():
        row = int((~np.isfinite(vectors)).any(axis=1).argmax())
        raise DataError(f"expected finite numbers, got NaN or infinity ({path}, line {lines[row]})")
    return vectors
