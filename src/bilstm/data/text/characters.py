"""The characters of texts as numbers and back, in any script. Knows no words, no sound and no file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Self

from bilstm.errors import DataError

BLANK = 0  # the number that stands for no character
SPACE = " "


class CharacterEncoder:
    """Numbers characters 1, 2, … in the order of their code points; 0 is left for the blank.

    Texts are compared and kept in one form: composed (NFC), every run of white space one space, none at the ends.

    Example:
        >>> characters = CharacterEncoder().fit(["one two", "zwölf"])
        >>> characters.transform("two  one")
        [7, 8, 6, 1, 6, 5, 2]
        >>> characters.inverse([7, 8, 6]), characters.unknown(["one?"])
        ('two', {'?'})
    """

    characters: list[str]

    def fit(self, texts: Iterable[str]) -> Self:
        """Take the characters of training texts."""
        self.characters = sorted({character for text in texts for character in plain(text)})
        self._number()
        return self

    def _number(self) -> None:
        self.numbers = {character: number for number, character in enumerate(self.characters, start=1)}

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
        """The text of numbers."""
        return "".join(self.characters[number - 1] for number in numbers)

    def unknown(self, texts: Iterable[str]) -> set[str]:
        """Characters of ``texts`` that training had not."""
        return {character for text in texts for character in plain(text)} - set(self.characters)

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {"characters": self.characters}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> CharacterEncoder:
        """Bring back what ``to_json`` said.

        Raises:
            DataError: a character is none, or is there twice.
        """
        encoder = cls()
        encoder.characters = [str(character) for character in saved["characters"]]
        if any(len(character) != 1 for character in encoder.characters):
            raise DataError("expected single characters, got longer text")
        encoder._number()
        if len(encoder.numbers) != len(encoder.characters):
            raise DataError("expected different characters, got one twice")
        return encoder


def plain(text: str) -> str:
    """A text in the form in which texts are learned and compared."""
    return SPACE.join(unicodedata.normalize("NFC", text).split())
