"""Raw text to words with their places, in any script. Knows what a word is; does not know numbers or models.

The rules, decided once (docs/decisions.md): words are runs of letters, marks and digits, with hyphens and apostrophes
inside; English clitics (n't 's 're 've 'll 'd 'm) stand alone; scripts written without blanks (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) give one word a character; numbers keep their inner points and commas; links, addresses, @names,
#tags, emoticons and emoji are whole; every other character that is not blank is a word, runs of the same one too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bilstm.data.columns import Array, as_sequences, is_missing, whole_numbers
from bilstm.data.dataset import WORD, Dataset, is_labels_lists, without_none
from bilstm.data.source import ARRAYS, TABLES, Source, check_columns, existing_file, has_suffix
from bilstm.data.tables.reader import read_raw, typed
from bilstm.data.text.conll import read_conll
from bilstm.errors import DataError

WORDS_COLUMNS = ("tokens", "words")  # where tables keep lists of words, unless another column is named
# ranges of Unicode, by block
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
THAI_LAO_BURMESE_KHMER = "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
MARKS_WITHOUT_BLANKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
)
MARKS = "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
ARABIC_MARKS = "\u064b-\u065f\u0670\u06d6-\u06ed"
INDIC = "\u0900-\u0963\u0966-\u0dff"  # letters and vowel signs, without the danda, which ends a sentence
JOINERS = "\u200c\u200d"  # inside Persian and Indic words
PICTURE = "[\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
PICTURES = f"{PICTURE}[\ufe0f\U0001f3fb-\U0001f3ff]*(?:\u200d{PICTURE}[\ufe0f\U0001f3fb-\U0001f3ff]*)*"
ALONE = f"[{HAN}{KANA}{THAI_LAO_BURMESE_KHMER}][{MARKS_WITHOUT_BLANKS}]*"
LETTER = f"(?:[^\\W_{HAN}{KANA}{THAI_LAO_BURMESE_KHMER}]|[{MARKS}{ARABIC_MARKS}{INDIC}{JOINERS}])"
CLITIC = f"['’](?:[sdm]|re|ve|ll)(?!{LETTER})"
WORDS = re.compile(
    "|".join(
        (
            r"(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?')\]}]",  # links
            # addresses; before the @ are at most 64 characters (RFC 5321), or a long text without blanks, of Chinese
            # for instance, would be looked through again from each of its characters
            r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+",
            r"[@#](?=[^\W\d])\w+",  # @names and #tags
            r"[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3",  # flags, keys
            PICTURES,
            f"[:;=][-o*']?[)(\\]\\[dDpP/\\\\|@3](?!{LETTER})",  # emoticons
            r"(?:[^\W\d_]\.){2,}",  # U.S.
            f"\\d+(?:[.,:]\\d+)*(?!{LETTER})",  # numbers, times
            f"n['’]t(?!{LETTER})|{CLITIC}",
            f"{LETTER}+?(?=n['’]t(?!{LETTER}))",  # do n't
            f"{LETTER}+(?:(?!{CLITIC})['’_-]{LETTER}+)*",  # words
            ALONE,
            r"([^\w\s])\1*",  # punctuation: !!! and ... are one
            r"\S",
        )
    ),
    re.IGNORECASE,
)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand: first character and the one past the last, in order, without overlap.

    Example:
        >>> text = "Dr. Wu didn't pay 3.5 % 在北京!!!"
        >>> [text[a:b] for a, b in word_spans(text)]
        ['Dr', '.', 'Wu', 'did', "n't", 'pay', '3.5', '%', '在', '北', '京', '!!!']
    """
    return [match.span() for match in WORDS.finditer(text)]


def from_texts(texts: Iterable[Any], targets: pl.DataFrame | None = None, source: Source | str = ARRAYS) -> Dataset:
    """Texts as a Dataset of words; a missing text has none. Messages call the data ``source``."""
    source = Source.of(source)
    whole: list[str] = []
    for row, text in enumerate(texts):
        if not (isinstance(text, str) or is_missing(text)):
            raise DataError(f"expected text, got {text!r} ({source.at(row)})")
        whole.append(text if isinstance(text, str) else "")
    spans = [word_spans(text) for text in whole]
    words = [text[a:b] for text, pairs in zip(whole, spans, strict=True) for a, b in pairs]
    flat = [pair for pairs in spans for pair in pairs]
    return replace(
        _language(words, [len(pairs) for pairs in spans], source),
        targets=targets,
        texts=pl.Series("text", whole, dtype=pl.String),
        spans=np.array(flat, dtype=np.int64).reshape(-1, 2),
    )


def from_words(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[Any]] | None = None, source: Source | str = ARRAYS
) -> Dataset:
    """Sentences that are already cut into words, with a tag for each word or none, as a Dataset.

    Args:
        sentences: N lists of words; a Series or an array of them will do.
        tags: N lists of as many tags, or None.
        source: what error messages call this data.

    Raises:
        DataError: something that is not text, or another number of tags than of words.

    Example:
        >>> data = from_words([["Paris", "sleeps"]], [["B-LOC", "O"]])
        >>> data.tags["tag"].to_list()
        ['B-LOC', 'O']
    """
    source = Source.of(source)
    sentences = _lists(sentences, "words", source)
    words = [word for sentence in sentences for word in sentence]
    for odd in (word for word in words if not isinstance(word, str)):
        raise DataError(f"expected words as text, got {odd!r} ({source})")
    dataset = _language(words, [len(sentence) for sentence in sentences], source)
    if tags is not None:
        tags = _lists(tags, "tags", source)
        if len(tags) != len(sentences):
            raise DataError(f"expected tags of {len(sentences)} sentences, got {len(tags)} ({source})")
        for row, (sentence, names) in enumerate(zip(sentences, tags, strict=True), source.first):
            if len(names) != len(sentence):
                got = f"{names!r} ({source}, sentence {row})"
                raise DataError(f"expected a tag for each of {len(sentence)} words, got {got}")
        dataset = replace(dataset, tags=_tags([str(tag) for names in tags for tag in names]))
    return dataset


def _lists(rows: Iterable[Any], what: str, source: Source) -> list[Sequence[Any]]:
    """Lists of words or tags, whether they came in a list, an array or a Series."""
    lists: list[Sequence[Any]] = as_sequences(list(rows))
    for row, values in enumerate(lists, source.first):
        if not isinstance(values, (list, tuple)):
            got = repr(values) if np.ndim(values) == 0 else f"an array of shape {np.shape(values)}"
            raise DataError(f"expected a list of {what}, got {got} ({source}, sentence {row})")
    return lists


def _language(words: Sequence[str], lengths: Sequence[int] | Array, source: Source) -> Dataset:
    steps = pl.DataFrame({WORD: pl.Series(words, dtype=pl.String)})
    return Dataset(steps, np.asarray(lengths, dtype=np.int64), source=source, is_language=True)


def _tags(tags: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame({"tag": pl.Series(tags, dtype=pl.String)})


def is_text(X: Any) -> bool:
    """Whether X is a list (array, Series) of strings."""
    if hasattr(X, "columns") or not hasattr(X, "__len__") or len(X) == 0 or getattr(X, "ndim", 1) != 1:
        return False
    values = X.tolist() if hasattr(X, "tolist") else list(X)
    return any(isinstance(value, str) for value in values) and all(
        isinstance(value, str) or is_missing(value) for value in values
    )


def is_words(X: Any) -> bool:
    """Whether X is a list (object array, Series) of lists of strings. A frame or an array (N, F) of text is a table."""
    X = as_sequences(X)
    return is_labels_lists(X) and all(isinstance(sentence, (list, tuple)) for sentence in X)


def read_texts(path: str | Path, *, text: str, target: str | None = None) -> Dataset:
    """Read texts, with their labels or without, from CSV, JSON lines or Parquet.

    Args:
        path: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file.
        text: the column of texts, taken as they are: the text "null" is a text.
        target: the column of labels, or None. A column of lists holds several labels a row.

    Raises:
        DataError: as :func:`bilstm.read_table`; a column that is missing; a text that is a number.

    Example:
        >>> data = read_texts("reviews.csv", text="review", target="stars")  # doctest: +SKIP
    """
    return texts_of(read_raw(path), Source.of_file(path), text=text, target=target)


def read_lines(source: str | Path | bytes) -> Dataset:
    """Read texts, one a line, from a UTF-8 file, or from the bytes of one, as they come on standard input."""
    name = "-" if isinstance(source, bytes) else str(source)
    raw = source if isinstance(source, bytes) else existing_file(source, "lines of text").read_bytes()
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"expected UTF-8 text, got other bytes ({name}, line {line})") from None
    if not lines:
        raise DataError(f"expected lines of text, got none ({name})")
    return from_texts(lines, source=Source(name))


def texts_of(frame: pl.DataFrame, source: Source, *, text: str, target: str | None, kind: str = "target") -> Dataset:
    """Rows of a file, all or some that follow each other, as a Dataset of texts.

    ``kind`` says how the target is read: ``target``, ``number`` or ``category``.
    """
    check_columns([text, *([target] if target else [])], frame.columns, source)
    targets = None
    if target is not None:
        column = frame[target]
        column = column if column.dtype == pl.List else whole_numbers(typed(column, kind, source))
        targets = column.to_frame()
    dataset = from_texts(frame[text], targets, source)
    return replace(dataset, read_with={"text": text})


def read_sentences(
    path: str | Path, *, tag: str | None = None, text: str | None = None, with_tags: bool = True
) -> Dataset:
    """Read sentences with a tag for every word, or without tags.

    Args:
        path: a CoNLL column file, CoNLL-U (``.conllu``); or a table (``.jsonl``, ``.parquet``, ``.csv``).
        tag: the tags' column: in CoNLL files its number, 1 for the first, by default the last; in CoNLL-U ``upos``
            (the default) or ``xpos``; in a table its name, ``tags`` by default.
        text: in a table, the column of texts or of lists of words; by default ``tokens`` or ``words``, and before these
            ``text`` where no tags are read.
        with_tags: False for words alone.

    Returns:
        Dataset: of words, with ``tags`` and, from CoNLL, ``texts`` with the words' places in them.

    Raises:
        DataError: as :func:`bilstm.data.text.conll.read_conll` and :func:`bilstm.data.tables.reader.read_raw`.

    Example:
        >>> data = read_sentences("train.conll")  # doctest: +SKIP
    """
    path, source = Path(path), Source.of_file(path)
    if has_suffix(path, TABLES):
        dataset = sentences_of(read_raw(path), source, tag=tag or "tags", text=text, with_tags=with_tags)
        return replace(dataset, read_with=without_none(tag=tag, text=text))
    sentences = read_conll(path, tag=tag, with_tags=with_tags)
    texts, spans = _texts(sentences.words, sentences.lengths, sentences.spaces)
    tags = None if sentences.tags is None else _tags(sentences.tags)
    dataset = _language(sentences.words, sentences.lengths, source)
    return replace(dataset, tags=tags, texts=texts, spans=spans, read_with=without_none(tag=tag))


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
    candidates = WORDS_COLUMNS if with_tags else ("text", *WORDS_COLUMNS)
    words = text or next((name for name in candidates if name in frame.columns), candidates[0])
    if words in frame.columns and frame[words].dtype == pl.String and not with_tags:
        return texts_of(frame, source, text=words, target=None)
    for name in [words, *([tag] if with_tags else [])]:
        check_columns([name], frame.columns, source)
        if frame[name].dtype != pl.List(pl.String):
            lists = '{"tokens": ["Ann", "ran"], "tags": ["B-PER", "O"]}'
            hint = f"tagged sentences stand in CoNLL files, or as JSON lines with lists: {lists}"
            raise DataError(
                f"expected lists of words in column {name!r}, got {frame[name].dtype} ({source})", hint=hint
            )
    return from_words(frame[words].to_list(), frame[tag].to_list() if with_tags else None, source)


def words_in(dataset: Dataset) -> list[list[str]]:
    """The words of each sentence."""
    words = dataset.steps[WORD].to_list()
    return [words[a : a + t] for a, t in zip(dataset.starts, dataset.lengths, strict=True)]


def texts_in(dataset: Dataset) -> list[str]:
    """The text of each sentence; of one that came as words, these with one blank between them."""
    if dataset.texts is not None:
        return dataset.texts.to_list()
    return [" ".join(words) for words in words_in(dataset)]


def joined_spans(words: Sequence[str]) -> Array:
    """Where words would stand in their sentence if one blank parted them, (T, 2)."""
    ends = np.cumsum([len(word) + 1 for word in words], dtype=np.int64) - 1
    return np.stack([ends - [len(word) for word in words], ends], axis=1) if len(words) else np.zeros((0, 2), np.int64)
