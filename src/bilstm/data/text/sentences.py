"""Files of tagged sentences as Datasets: CoNLL columns, CoNLL-U, JSON lines or Parquet with lists of words.

Knows which file is read by whom; does not know what a tag means.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.source import TABLES, Source, check_columns, has_suffix
from bilstm.data.tables.reader import read_raw
from bilstm.data.text.conll import read_conll
from bilstm.data.text.text import from_words, texts_of
from bilstm.errors import DataError

WORDS_COLUMNS = ("tokens", "words")  # where tables keep lists of words, unless told


def read_sentences(
    path: str | Path, *, tag: str | None = None, text: str | None = None, with_tags: bool = True
) -> Dataset:
    """Read sentences with a tag for every word, or without tags.

    Args:
        path: a CoNLL column file, CoNLL-U (``.conllu``); or a table (``.jsonl``, ``.parquet``, ``.csv``).
        tag: the tags' column: in CoNLL files its number, 1 for the first, by default the last; in CoNLL-U ``upos``
            (the default) or ``xpos``; in a table its name, ``tags`` by default.
        text: in a table, the column of texts or of lists of words; by default ``tokens`` or ``words``.
        with_tags: False for words alone.

    Returns:
        Dataset: of words, with ``tags`` and, from CoNLL, ``texts`` with the words' places in them.

    Raises:
        DataError: as :func:`bilstm.data.text.conll.read_conll` and :func:`bilstm.data.tables.reader.read_raw`.

    Example:
        >>> data = read_sentences("train.conll")  # doctest: +SKIP
    """
    path = Path(path)
    if has_suffix(path, TABLES):
        dataset = sentences_of(read_raw(path), Source.of_file(path), tag=tag or "tags", text=text, with_tags=with_tags)
    else:
        dataset = _from_conll(path, tag, with_tags)
    told = {"tag": tag, "text": text if has_suffix(path, TABLES) else None}
    return replace(dataset, read_with={name: value for name, value in told.items() if value is not None})


def _from_conll(path: Path, tag: str | None, with_tags: bool) -> Dataset:
    found = read_conll(path, tag=tag, with_tags=with_tags)
    texts, spans = _texts(found.words, found.lengths, found.spaces)
    return Dataset(
        steps=pl.DataFrame({WORD: pl.Series(found.words, dtype=pl.String)}),
        lengths=found.lengths,
        tags=None if found.tags is None else pl.DataFrame({"tag": pl.Series(found.tags, dtype=pl.String)}),
        texts=texts,
        spans=spans,
        source=Source.of_file(path),
        is_language=True,
    )


def _texts(words: list[str], lengths: Array, spaces: Array) -> tuple[pl.Series, Array]:
    """The sentences as text, and where each word stands in its own: first character and one past the last."""
    widths = np.array([len(word) for word in words], dtype=np.int64)
    ends = np.cumsum(widths + spaces) - spaces  # in all sentences, one behind the other
    starts = ends - widths
    firsts = np.cumsum(lengths) - lengths
    origin = np.repeat(starts[firsts], lengths)
    pieces = [word + " " * bool(space) for word, space in zip(words, spaces, strict=True)]
    ranges = zip(firsts, firsts + lengths, strict=True)
    texts = pl.Series("text", ["".join(pieces[a:b]).removesuffix(" ") for a, b in ranges], dtype=pl.String)
    return texts, np.stack([starts - origin, ends - origin], axis=1)


def sentences_of(frame: pl.DataFrame, source: Source, *, tag: str, text: str | None, with_tags: bool = True) -> Dataset:
    """Rows of a table of sentences, all or some that follow each other, as a Dataset."""
    words = text or next((name for name in WORDS_COLUMNS if name in frame.columns), WORDS_COLUMNS[0])
    if words in frame.columns and frame[words].dtype == pl.String and not with_tags:
        return texts_of(frame, source, text=words, target=None)
    for name in [words, *([tag] if with_tags else [])]:
        check_columns([name], frame.columns, source)
        if frame[name].dtype != pl.List(pl.String):
            raise DataError(
                f"expected lists of words in column {name!r}, got {frame[name].dtype} ({source})",
                hint="tagged sentences stand in CoNLL files, or as JSON lines with lists: "
                '{"tokens": ["Ann", "ran"], "tags": ["B-PER", "O"]}',
            )
    return from_words(frame[words].to_list(), frame[tag].to_list() if with_tags else None, source)
