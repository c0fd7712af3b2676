"""Words and characters to numbers: vocabulary, case, spelling, pre-trained vectors. Fitted on training texts only.

Knows spellings and counts; does not know sentences, tags, sound or networks.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from bilstm.data.columns import Array
from bilstm.data.source import DAMAGED, existing_file, open_text
from bilstm.errors import DataError

UNKNOWN = 0  # number of a word that the vocabulary does not have, and of a word without a vector
PADDING, UNKNOWN_CHARACTER = 0, 1
LONGEST_WORD = 24  # characters; of a longer word the first and the last twelve are read
COLUMNS = 3  # of a form before its characters: word, vector, case
BLANK = 0  # the number of a CharacterEncoder that stands for no character
SPACE = " "
CASES = ("lower", "Title", "UPPER", "miXed", "with digit", "digits", "no letters", "no case")
MOST_WORDS = 500_000  # different words that are counted at once, some 100 MB


class WordEncoder:
    """Encodes words: which word of the vocabulary, which pre-trained vector, which case, which characters.

    A word that was seen fewer than ``min_count`` times is unknown, so that the network learns what an unknown word
    means. With ``lowercase`` the vocabulary has one entry for *The* and *the*; case and characters still differ. Words
    and vectors are numbered from 1, characters from 2; ``vectors``, (V, D), is None once they are in a network.
    """

    def __init__(
        self,
        words: Iterable[str] = (),
        counts: Iterable[int] = (),
        characters: Iterable[str] = (),
        vector_words: Iterable[str] = (),
        vectors: Array | None = None,
        vector_size: int = 0,
        lowercase: bool = True,
    ) -> None:
        self.words, self.counts, self.characters = list(words), list(counts), list(characters)
        self.vector_words, self.vectors, self.vector_size = list(vector_words), vectors, vector_size
        self.lowercase = lowercase
        self._index()

    def _index(self) -> None:
        self._word_numbers = {word: number for number, word in enumerate(self.words, 1)}
        self._vector_numbers = {word: number for number, word in enumerate(self.vector_words, 1)}
        self._character_numbers = {character: number for number, character in enumerate(self.characters, 2)}

    def fit(
        self,
        spelled: Mapping[str, int],
        *,
        min_count: int = 1,
        lowercase: bool = True,
        vectors: str | Path | None = None,
        extra_vectors: int = 0,
    ) -> Self:
        """Learn vocabulary and characters from how often each word of the training sentences comes, spelled as it is.

        ``vectors`` is a file of pre-trained ones, of which ``extra_vectors`` frequent words are kept beside those of
        the training words.
        """
        self.lowercase = lowercase
        counts: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for word, count in spelled.items():
            counts[self._normal(word)] += count
            for character in word:
                characters[character] += count
        # the most frequent first; of equally frequent ones in the order of the alphabet
        self.words = sorted((word for word in counts if counts[word] >= min_count), key=lambda w: (-counts[w], w))
        self.counts = [counts[word] for word in self.words]
        self.characters = sorted((c for c in characters if characters[c] > 1), key=lambda c: (-characters[c], c))
        self.vector_words, self.vectors, self.vector_size = [], None, 0
        if vectors is not None:
            needed = {form for word in spelled for form in (word, word.lower())}
            self.vector_words, self.vectors = read_vectors(vectors, needed, extra_vectors)
            self.vector_size = self.vectors.shape[1]
            if not self.vector_words:
                raise DataError(f"expected vectors of at least one training word, got none of them ({vectors})")
        self._index()
        return self

    def transform(self, words: pl.Series) -> tuple[Array, Array]:
        """Words (S,) to which distinct form each one is, (S, 1) int64, and the forms' numbers (U, 3 + C) int32.

        Columns of a form: number of the word, number of its vector, case (an index into ``CASES``), then up to
        C = 24 characters with 0 behind the last.
        """
        distinct: dict[str, int] = {}
        ids = [distinct.setdefault(word, len(distinct)) for word in words.to_list()]
        forms = np.zeros((len(distinct), COLUMNS + LONGEST_WORD), dtype=np.int32)
        if distinct:
            forms[:, :COLUMNS] = [
                (
                    self._word_numbers.get(self._normal(word), UNKNOWN),
                    self._vector_numbers.get(word) or self._vector_numbers.get(word.lower(), UNKNOWN),
                    case_of(word),
                )
                for word in distinct
            ]
            forms[:, COLUMNS:] = self._spelled(list(distinct))
        return np.array(ids, dtype=np.int64).reshape(-1, 1), forms

    def _spelled(self, words: list[str]) -> Array:
        """The numbers of the words' characters, (U, 24), 0 behind the last."""
        half = LONGEST_WORD // 2
        short = [word if len(word) <= LONGEST_WORD else word[:half] + word[-half:] for word in words]
        codes = np.array(short, dtype=f"U{LONGEST_WORD}").view(np.uint32).reshape(-1, LONGEST_WORD)
        known = {ord(character): number for character, number in self._character_numbers.items()}
        numbers = np.full(max([*known, int(codes.max())]) + 1, UNKNOWN_CHARACTER)  # of every code point
        numbers[list(known)] = list(known.values())
        inside = np.arange(LONGEST_WORD) < np.array([len(word) for word in short])[:, None]
        return np.where(inside, numbers[codes], PADDING)

    def _normal(self, word: str) -> str:
        return word.lower() if self.lowercase else word

    def to_json(self) -> dict[str, Any]:
        names = ("words", "counts", "characters", "vector_words", "vector_size", "lowercase")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WordEncoder:
        encoder = cls(**data)
        if len(encoder.words) != len(encoder.counts) or set(map(len, encoder.characters)) - {1}:
            raise DataError("expected a count for each word and single characters, got others")
        return encoder


class WordCounts:
    """How often each word comes, in bounded memory: where there are too many, the rarest are forgotten.

    Source: Mikolov et al. 2013, whose word2vec forgets in this way.
    """

    def __init__(self, most: int = MOST_WORDS) -> None:
        self.counts: Counter[str] = Counter()
        self.most = most
        self.rarest = 0  # words that came no more often than this were forgotten
        self.forgotten = False

    def update(self, words: pl.Series) -> None:
        """Count more words, (S,)."""
        first = not self.counts  # what comes in one piece is in memory anyway, and is counted whole
        counts: Any = words.value_counts()
        self.counts.update(dict(zip(counts[words.name].to_list(), counts["count"].to_list(), strict=True)))
        while len(self.counts) > self.most and not first:
            self.rarest, self.forgotten = self.rarest + 1, True
            self.counts = Counter({word: count for word, count in self.counts.items() if count > self.rarest})


def case_of(word: str) -> int:
    """The case of a word as an index into ``CASES``.

    Example:
        >>> [CASES[case_of(word)] for word in ("the", "Paris", "EU", "iPhone", "B2B", "1.5", "!", "北京")]
        ['lower', 'Title', 'UPPER', 'miXed', 'with digit', 'digits', 'no letters', 'no case']
    """
    letters = sum(map(str.isalpha, word))
    if any(map(str.isdigit, word)):
        return 4 if letters else 5
    if letters == 0:
        return 6
    lower = word.lower()
    if lower == word.upper():
        return 7
    if word.islower():
        return 0
    if word.isupper():
        return 2 if letters > 1 else 1
    return 1 if word[:1].isupper() and word[1:] == lower[1:] else 3


class CharacterEncoder:
    """Numbers characters 1, 2, … in the order of their code points; 0 is left for the blank.

    Texts are compared and kept in one form: composed (NFC), every run of white space one space, none at the ends.
    """

    def fit(self, texts: Iterable[str]) -> Self:
        self._number(sorted({character for text in texts for character in plain(text)}))
        return self

    def _number(self, characters: list[str]) -> None:
        self.characters = characters
        self.numbers = {character: number for number, character in enumerate(characters, start=1)}

    def __len__(self) -> int:
        """How many numbers there are: the characters and the blank."""
        return len(self.characters) + 1

    @property
    def space(self) -> int | None:
        """The number of the space, or None where no text has one."""
        return self.numbers.get(SPACE)

    def transform(self, text: str) -> list[int]:
        """A text's numbers; characters that training had not are left out."""
        return [self.numbers[character] for character in plain(text) if character in self.numbers]

    def inverse(self, numbers: Sequence[int]) -> str:
        return "".join(self.characters[number - 1] for number in numbers)

    def unknown(self, texts: Iterable[str]) -> set[str]:
        """Characters of ``texts`` that training had not."""
        return {character for text in texts for character in plain(text)} - set(self.characters)

    def to_json(self) -> dict[str, Any]:
        return {"characters": self.characters}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> CharacterEncoder:
        encoder = cls()
        encoder._number(saved["characters"])
        if set(map(len, encoder.characters)) - {1}:
            raise DataError("expected single characters, got longer text")
        if len(encoder.numbers) != len(encoder.characters):
            raise DataError("expected different characters, got one twice")
        return encoder


def plain(text: str) -> str:
    """A text in the form in which texts are learned and compared."""
    return SPACE.join(unicodedata.normalize("NFC", text).split())


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
                    message = f"expected a word and {expected} numbers, got {got} ({path}, line {number})"
                    raise DataError(message, hint="the file is cut off, or holds vectors of different sizes")
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
