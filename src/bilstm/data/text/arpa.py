"""Reads back-off models of n-grams from ARPA text files, plain or compressed by gzip.

Knows lines, sections and counts; how a word is spelled in tokens and how a sentence is scored ``nn.ngrams`` knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.source import DAMAGED, existing_file, open_bytes
from bilstm.errors import DataError

GZIP = b"\x1f\x8b"
KENLM = b"mmap lm "  # how KenLM's binary files begin
LOWEST = -99.0  # how the format writes log10 of 0
LOG_10 = math.log(10)
HINT = "lines of an ARPA file: \\data\\, ngram 1=…, \\1-grams:, probability TAB words TAB back-off, …, \\end\\"
CUT = "the file seems to be cut; write or copy it again"


class NGramTable(NamedTuple):
    """The n-grams of one n, N of them."""

    words: Array  # (N, n) int64, numbers of words
    log_probability: Array  # (N,) float64, natural logarithms
    back_off: Array  # (N,) float64, natural logarithms; 0 where the file has none


@dataclass(frozen=True)
class Arpa:
    """A back-off model as it stands in a file."""

    words: list[str]  # of the 1-grams in their order, the marks among them; their places are their numbers
    tables: list[NGramTable]  # of the 1-grams, the 2-grams, …
    start: int | None  # the number of <s> (in any case), None where the model has none
    end: int | None  # of </s>
    unknown: int | None  # of <unk>


class _Lines:
    """The lines of a file that hold something, without blanks at their ends, and where a mistake stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0  # of the last line that was read; the first is 1

    def __iter__(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            start = file.read(256)
        if start.startswith(KENLM) or (b"\0" in start and not start.startswith(GZIP)):
            kind = "a binary file of KenLM" if start.startswith(KENLM) else "a binary file"
            hint = "give the .arpa it was made of"
            raise DataError(f"expected an ARPA text file, got {kind} ({self.path})", hint=hint)
        try:
            with open_bytes(self.path) as file:
                for self.number, line in enumerate(file, 1):
                    if text := line.decode("utf-8-sig" if self.number == 1 else "utf-8").strip(" \t\r\n"):
                        yield text
        except UnicodeDecodeError:
            raise self.mistake("expected text in UTF-8, got other bytes", hint="convert the file to UTF-8") from None
        except DAMAGED as error:
            raise self.mistake(f"expected a whole gzip file, got {error}", hint=CUT) from None

    def mistake(self, message: str, hint: str | None = None) -> DataError:
        return DataError(f"{message} ({self.path}, line {self.number})", hint=hint)


def read_arpa(path: str | Path) -> Arpa:
    """Read an ARPA file in UTF-8; what stands before the line ``\\data\\`` is skipped, as are empty lines.

    The trap: words are compared letter by letter. A model of ``FIVE`` does not know ``five``: change ``words``.

    """
    lines = _Lines(existing_file(path, "a language model"))
    content = iter(lines)
    if "\\data\\" not in content:
        raise lines.mistake("expected a line \\data\\, got none to the end", hint=HINT)
    counts, header = _counts(lines, content)
    words: dict[str, int] = {}
    tables: list[NGramTable] = []
    for n, count in enumerate(counts, 1):
        if header != f"\\{n}-grams:":
            if count == 0 and n > 1:  # some tools leave empty sections out
                tables.append(_table({}, n))
                continue
            raise lines.mistake(f"expected the section \\{n}-grams:, got {header or 'the end of the file'}", hint=HINT)
        table, header = _section(lines, content, n, count, words)
        tables.append(table)
    if header != "\\end\\":
        raise lines.mistake(f"expected the line \\end\\, got {header or 'the end of the file'}", hint=CUT)
    folded = {word.lower(): number for word, number in reversed(words.items())}
    return Arpa(list(words), tables, folded.get("<s>"), folded.get("</s>"), folded.get("<unk>"))


def _counts(lines: _Lines, content: Iterator[str]) -> tuple[list[int], str]:
    """How many n-grams of each n there should be, and the line after them."""
    counts: list[int] = []
    for line in content:
        if line.startswith("\\"):
            if not counts:
                raise lines.mistake(f"expected counts such as ngram 1=100, got {line}", hint=HINT)
            return counts, line
        name, _, count = line.partition("=")
        if name.split() != ["ngram", str(len(counts) + 1)] or not count.strip().isdecimal():
            raise lines.mistake(f"expected ngram {len(counts) + 1}= and a whole number, got {line!r}", hint=HINT)
        counts.append(int(count))
    raise lines.mistake("expected the section \\1-grams:, got the end of the file", hint=CUT)


def _section(
    lines: _Lines, content: Iterator[str], n: int, count: int, words: dict[str, int]
) -> tuple[NGramTable, str]:
    """The n-grams of a section and the line that ends it; 1-grams are entered among the words."""
    grams: dict[tuple[int, ...], tuple[float, float]] = {}  # log10 of the probability and of the back-off of each
    end = ""
    for line in content:
        if line.startswith("\\") and line.endswith((":", "\\")):
            end = line
            break
        first, *others = line.replace("\t", " ").split(" ")
        columns = [column for column in others if column]
        if not n <= len(columns) <= n + 1:
            got = f"{len(columns) + 1} columns"
            raise lines.mistake(f"expected a probability, {n} words and perhaps a back-off, got {got}", hint=HINT)
        gram = _numbers(lines, columns[:n], words)
        if gram in grams:
            raise lines.mistake(f"expected every {n}-gram once, got {' '.join(columns[:n])!r} again")
        back_off = _logarithm(lines, columns[n], "a back-off weight", math.inf) if len(columns) > n else 0.0
        grams[gram] = _logarithm(lines, first, "a log10 of a probability", at_most=0.0), back_off
    if len(grams) != count:
        hint = "the count in \\data\\ says so; the file was cut or changed by hand"
        raise lines.mistake(f"expected {count} {n}-grams, got {len(grams)}", hint=hint)
    return _table(grams, n), end


def _numbers(lines: _Lines, gram: list[str], words: dict[str, int]) -> tuple[int, ...]:
    if len(gram) == 1:
        return (words.setdefault(gram[0], len(words)),)
    for word in (word for word in gram if word not in words):
        hint = "every word needs a 1-gram; columns stand between tabs or blanks"
        raise lines.mistake(f"expected words of the 1-grams, got {word!r} in a {len(gram)}-gram", hint)
    return tuple(words[word] for word in gram)


def _logarithm(lines: _Lines, text: str, what: str, at_most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number) or number > at_most or number == math.inf:
        limit = " of at most 0" if at_most == 0 else ""
        raise lines.mistake(f"expected {what}{limit}, got {text!r}", hint=HINT)
    return max(number, LOWEST)


def _table(grams: dict[tuple[int, ...], tuple[float, float]], n: int) -> NGramTable:
    log_probability, back_off = LOG_10 * np.array(list(grams.values()), float).reshape(-1, 2).T
    return NGramTable(np.array(list(grams), np.int64).reshape(-1, n), log_probability, back_off)
