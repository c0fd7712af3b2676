"""Characters as numbers and back, in any script, and lists of them that are damaged."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.text.encoder import BLANK, CharacterEncoder, plain
from bilstm.errors import DataError
from tests.strategies import FUZZ

TEXTS = ["zwölf Äpfel", "你好 世界", "нет", "שלום", "नमस्ते", "สวัสดี", "👩‍👩‍👧 ok", "e\u0301te\u0301", "a\tb\n c"]


@FUZZ
@given(st.lists(st.text(max_size=12), max_size=5))
def test_a_text_of_any_characters_comes_back_in_its_plain_form(texts):
    characters = CharacterEncoder().fit(texts)
    for text in texts:
        assert characters.inverse(characters.transform(text)) == plain(text)
    assert characters.unknown(texts) == set()


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_of_every_script_comes_back(text):
    characters = CharacterEncoder().fit(TEXTS)
    assert characters.inverse(characters.transform(text)) == " ".join(unicodedata.normalize("NFC", text).split())


def test_numbers_go_up_with_code_points_and_leave_the_blank_out():
    characters = CharacterEncoder().fit(["ba", "c a"])
    assert characters.characters == [" ", "a", "b", "c"]
    assert (characters.transform("abc"), len(characters), characters.space) == ([2, 3, 4], 5, 1)
    assert BLANK not in characters.numbers.values()


def test_the_order_of_the_texts_does_not_matter():
    assert CharacterEncoder().fit(TEXTS).characters == CharacterEncoder().fit(TEXTS[::-1]).characters


def test_composed_and_decomposed_letters_are_one():
    characters = CharacterEncoder().fit(["caf\u00e9"])
    assert characters.transform("cafe\u0301") == characters.transform("caf\u00e9")
    assert characters.unknown(["cafe\u0301"]) == set()


@pytest.mark.parametrize("text", [" one  two ", "one\ttwo", "one\ntwo\n", "one\u00a0two", "one\u3000two"])
def test_every_white_space_is_one_space(text):
    assert plain(text) == "one two"


def test_characters_that_training_had_not_are_left_out_and_named():
    characters = CharacterEncoder().fit(["one"])
    assert characters.inverse(characters.transform("one? öne")) == "onene"
    assert characters.unknown(["one?", "öne two"]) == {"?", "ö", " ", "t", "w"}


def test_a_language_without_spaces_has_no_number_for_one():
    assert CharacterEncoder().fit(["你好"]).space is None


def test_nothing_learned_is_the_blank_alone():
    characters = CharacterEncoder().fit(["", "  "])
    assert (len(characters), characters.transform("a"), characters.inverse([])) == (1, [], "")


def test_they_come_back_from_json():
    characters = CharacterEncoder().fit(TEXTS)
    again = CharacterEncoder.from_json(json.loads(json.dumps(characters.to_json())))
    assert [again.transform(text) for text in TEXTS] == [characters.transform(text) for text in TEXTS]


@pytest.mark.parametrize(
    "characters, message",
    [
        (["a", "bc"], "expected single characters, got longer text"),
        (["a", ""], "expected single characters, got longer text"),
        (["a", "b", "a"], "expected different characters, got one twice"),
    ],
)
def test_a_damaged_list_is_refused(characters, message):
    with pytest.raises(DataError, match=message):
        CharacterEncoder.from_json({"characters": characters})
