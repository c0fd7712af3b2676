"""Reads files of one word a line (CoNLL columns, CoNLL-U) and writes them again with one more column.

Knows lines, columns and where sentences end; what a tag means, ``tags`` knows. Reading and writing walk over the lines
by the same functions. Word = first column, tag = last column, unless told otherwise.

Columns stand between tabs where every word line holds a tab and at least one line is free of blanks inside a column;
else between any blanks and tabs. No-break spaces belong to words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from bilstm.data.columns import Array
from bilstm.data.source import DAMAGED, existing_file, open_bytes
from bilstm.errors import DataError, did_you_mean

BLANKS = " \t\r"  # what may stand around the columns of a line; Python's own strip would take no-break spaces too
BETWEEN_TABS, BETWEEN_BLANKS = re.compile(r" *\t[ \t]*"), re.compile(r"[ \t]+")
BLANK_INSIDE = re.compile(r"[^ \t] +[^ \t]")
DOCUMENT = "-DOCSTART-"  # begins a document in the files of CoNLL-2003; no word
CONLLU_COLUMNS = 10
FORM, MISC = 1, 9
NAMED_COLUMNS = {"upos": 3, "xpos": 4}
ADDED = "Predicted="  # how the added column is called in CoNLL-U's MISC


@dataclass(frozen=True)
class Sentences:
    """The words of a file in their order, and where they stand."""

    words: list[str]  # all S words, sentence after sentence
    tags: list[str] | None  # None where the file was read without
    lengths: Array  # (N,) int64, words of every sentence, each at least 1
    lines: Array  # (S,) int64, the line of the file that a word stands on; the first is 1
    # (S,) bool, whether a blank follows the word in the text. Only CoNLL-U knows (``SpaceAfter=No``; none inside a word
    # of several such as ``do|n't``); elsewhere True
    spaces: Array


class _Word(NamedTuple):
    """One word line."""

    line: int  # the first is 1
    begins: bool  # a sentence begins with it
    cells: list[str]
    space: bool


@dataclass(frozen=True)
class _File:
    """The lines of a file, without line feeds, and how their columns are told apart; None is CoNLL-U."""

    path: Path
    mark: str  # the byte order mark or nothing
    rows: list[str]
    separator: re.Pattern[str] | None

    def mistake(self, line: int, message: str, hint: str | None = None) -> DataError:
        return DataError(f"{message} ({self.path}, line {line})", hint=hint)

    def words(self) -> Iterator[_Word]:
        return _conllu_words(self) if self.separator is None else _column_words(self, self.separator)


def read_conll(path: str | Path, *, tag: str | int | None = None, with_tags: bool = True) -> Sentences:
    """Read sentences, one word a line, from a column file or from CoNLL-U, in UTF-8, also packed.

    CoNLL-U is what is called ``.conllu`` or has ten columns between tabs with numbers in the first; its comments, word
    ranges (``1-2``) and empty nodes (``8.1``) are skipped. In other files ``#`` is a word. ``tag`` is the number of the
    column of tags, 1 for the first, by default the last one; in CoNLL-U also ``upos`` (the default) or ``xpos``.

    The trap: the last column of a file that has words only holds words, so such a file is an error unless
    ``with_tags=False``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "names.conll"
        ...     _ = path.write_text("Ann B-PER\\nran O\\n\\nShe O\\n")
        ...     data = read_conll(path)
        >>> data.words, data.tags, data.lengths.tolist()
        (['Ann', 'ran', 'She'], ['B-PER', 'O', 'O'], [2, 1])
    """
    file = _open(path)
    column = _tag_column(file, tag) if with_tags else None
    word_column = FORM if file.separator is None else 0
    words: list[str] = []
    tags: list[str] = []
    lines: list[int] = []
    firsts: list[int] = []
    spaces: list[bool] = []
    for line, begins, cells, space in file.words():
        if begins:
            firsts.append(len(words))
        words.append(cells[word_column])
        lines.append(line)
        spaces.append(space)
        if column is not None:
            tags.append(cells[column])
    if not words:
        raise DataError(f"expected sentences, got no word ({file.path})")
    if file.separator is None and "_" in tags:
        hint = "'_' stands for nothing in CoNLL-U; is there another column to learn? name it with --tag"
        raise file.mistake(lines[tags.index("_")], "expected a tag, got '_'", hint)
    lengths = np.diff(np.array([*firsts, len(words)], dtype=np.int64))
    return Sentences(words, tags if with_tags else None, lengths, np.array(lines, np.int64), np.array(spaces, bool))


def write_with_column(path: str | Path, values: Sequence[str], out: TextIO) -> None:
    """Write a file that :func:`read_conll` reads once more, with one more column behind every word.

    All else stays as it is: comments, blank lines, ends of lines, the byte order mark, if ``out`` is opened with
    ``newline=""`` and in UTF-8. The column stands behind a tab in files with tabs or with one column, behind a blank in
    others. In CoNLL-U it goes into MISC as ``Predicted=``, in place of one that is there already; a ``|`` in it, which
    MISC would split at, is written ``\\p``.
    """
    file = _open(path)
    words = list(file.words())
    if len(words) != len(values):
        raise DataError(f"expected {len(words)} values, one for each word, got {len(values)} ({file.path})")
    rows = list(file.rows)
    is_tabbed = file.separator is not BETWEEN_BLANKS or not words or len(words[0].cells) == 1
    between = "\t" if is_tabbed else " "
    for word, value in zip(words, values, strict=True):
        if value != value.strip(BLANKS) or not value or set(value) & {"\t", "\n", "\r", between}:
            raise DataError(f"expected a value that can stand in a column, got {value!r} ({file.path})")
        row = rows[word.line - 1]
        if file.separator is None:
            kept = [item for item in word.cells[MISC].split("|") if item != "_" and not item.startswith(ADDED)]
            misc = "|".join([*kept, ADDED + value.replace("|", "\\p")])
            added = "\t".join([*word.cells[:MISC], misc]) + row[len(row.rstrip("\r")) :]
        else:
            end = len(row.rstrip(BLANKS))
            added = row[:end] + between + value + row[end:]
        rows[word.line - 1] = added
    out.write(file.mark + "\n".join(rows))


def _open(path: str | Path) -> _File:
    path = existing_file(path, "sentences")
    try:
        with open_bytes(path) as packed:
            text = packed.read().decode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"expected sentences, got bytes that are not UTF-8 ({path}, line {line})"
        raise DataError(message, hint="save the file as UTF-8") from None
    except DAMAGED as error:
        raise DataError(f"expected sentences, got {error} ({path})") from None
    if "\r" in text and "\n" not in text:
        hint = "save the file with the line ends of Linux or Windows"
        raise DataError(f"expected lines, got carriage returns without line feeds ({path})", hint=hint)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    rows = text[len(mark) :].split("\n")  # splitlines would also split at characters that words may hold
    return _File(path, mark, rows, _separator(path, rows))


def _separator(path: Path, rows: Sequence[str]) -> re.Pattern[str] | None:
    """What stands between the columns of a file; None for CoNLL-U."""
    if path.name.lower().removesuffix(".gz").endswith(".conllu"):
        return None
    first = next((row for row in rows if row.strip(BLANKS) and not row.startswith("#")), "").split("\t")
    if len(first) == CONLLU_COLUMNS and re.fullmatch(r"\d+([-.]\d+)?", first[0]):
        return None
    stripped = (row.strip(BLANKS) for row in rows)
    contents = [content for content in stripped if content and not content.startswith(DOCUMENT)]
    if all("\t" in content for content in contents) and not all(map(BLANK_INSIDE.search, contents)):
        return BETWEEN_TABS
    return BETWEEN_BLANKS


def _column_words(file: _File, separator: re.Pattern[str]) -> Iterator[_Word]:
    begins, width, first = True, 0, 0
    for line, row in enumerate(file.rows, 1):
        content = row.strip(BLANKS)
        if not content or content.startswith(DOCUMENT):
            begins = True
            continue
        cells = separator.split(content)
        if len(cells) != width:
            if width:
                raise _other_width(file, line, len(cells), f"{_columns(width)} as on line {first}")
            width, first = len(cells), line
        yield _Word(line, begins, cells, True)
        begins = False


def _conllu_words(file: _File) -> Iterator[_Word]:
    begins, number = True, 0
    joined, space_behind = 0, True  # the last word of a range, and whether a blank follows that
    for line, row in enumerate(file.rows, 1):
        content = row.rstrip("\r")
        if not content.strip(BLANKS):
            begins, joined = True, 0
            continue
        if begins and content[0] == "#":
            continue
        cells = content.split("\t")
        if len(cells) != CONLLU_COLUMNS:
            raise _other_width(file, line, len(cells), f"{CONLLU_COLUMNS} columns between tabs")
        space = not ("SpaceAfter=No" in cells[MISC] and "SpaceAfter=No" in cells[MISC].split("|"))
        if not cells[0].isdecimal():
            kind = re.fullmatch(r"\d+([-.])(\d+)", cells[0])
            if kind is None:
                raise file.mistake(line, f"expected a word's number, got {cells[0]!r}")
            if kind[1] == "-":
                joined, space_behind = int(kind[2]), space
            continue
        if not begins and int(cells[0]) != number + 1:
            hint = "a blank line ends a sentence; is one missing?"
            raise file.mistake(line, f"expected word {number + 1}, got word {cells[0]}", hint)
        number = int(cells[0])
        if number <= joined:
            space = number == joined and space_behind
        yield _Word(line, begins, cells, space)
        begins = False


def _columns(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"


def _other_width(file: _File, line: int, width: int, expected: str) -> DataError:
    hint = "words and tags hold no blanks in a file whose columns stand between blanks"
    if file.rows[line - 1].startswith("#"):
        hint = "comments stand only in CoNLL-U, above a sentence; leave this one out"
    elif file.separator is None:
        hint = "in CoNLL-U every column is there, an empty one as '_'"
    elif file.separator is BETWEEN_TABS:
        hint = "the columns of this file stand between tabs"
    return file.mistake(line, f"expected {expected}, got {_columns(width)}", hint)


def _tag_column(file: _File, tag: str | int | None) -> int:
    """The index of the tags' column, which is there."""
    is_conllu = file.separator is None
    if tag is None and is_conllu:
        return NAMED_COLUMNS["upos"]
    if is_conllu and str(tag).lower() in NAMED_COLUMNS:
        return NAMED_COLUMNS[str(tag).lower()]
    if tag is not None and not str(tag).isdecimal():
        hint = did_you_mean(str(tag), NAMED_COLUMNS) if is_conllu else "the first column is 1; none has a name"
        raise DataError(f"expected a column of tags, got {tag!r} ({file.path})", hint=hint)
    first = next(file.words(), None)
    if first is None:
        return -1
    width = len(first.cells)
    if tag is None and width < 2:
        raise file.mistake(first.line, "expected a word and its tag, got 1 column", "a blank or a tab divides them")
    column = width if tag is None else int(tag)
    if not 1 <= column <= width:
        raise file.mistake(first.line, f"expected column {tag} of tags, got {_columns(width)}", "the first column is 1")
    return column - 1
