"""From scores to text: words, confidences, other readings, language models and hot words, beside brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.text.encoder import CharacterEncoder
from bilstm.errors import DataError, ParameterError
from bilstm.estimators import transcripts
from bilstm.estimators.transcripts import Decoder, Decoding
from tests import transcripts as oracle
from tests.compare import assert_close
from tests.speech import RATE, heard, learned, untrained
from tests.strategies import FUZZ

LETTERS = CharacterEncoder().fit(["ab a"])  # space 1, a 2, b 3
TWO = {"one": -0.3, "won": -2.0}


def arpa(path, words):
    """A model of single words, by the logarithms of their probabilities."""
    lines = ["\\data\\", f"ngram 1={len(words) + 3}", "", "\\1-grams:", "-99\t<s>", "-1\t</s>", "-5\t<unk>"]
    path.write_text("\n".join([*lines, *(f"{p}\t{word}" for word, p in words.items()), "", "\\end\\", ""]))
    return path


def scores_of(text, characters, doubts=(), steps=2):
    """Scores in which each character has some steps and a blank behind it; ``doubts`` are others, nearly as likely."""
    numbers, each = characters.transform(text), steps + 1
    scores = np.zeros((each * len(numbers), len(characters)), np.float32)
    scores[steps::each, 0] = 8.0
    for place, number in enumerate(numbers):
        scores[each * place : each * place + steps, number] = 8.0
    for place, other in enumerate(doubts):
        scores[each * place : each * place + steps, characters.numbers[other]] = 7.8
    return scores


def random_scores(T, seed):
    return (2 * np.random.default_rng(seed).normal(size=(T, len(LETTERS)))).astype(np.float32)


# -- beside brute force --------------------------------------------------------------------------------------


@FUZZ
@given(T=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_the_confidence_is_the_probability_of_the_text_over_all_alignments(T, seed):
    scores = random_scores(T, seed)
    chances = oracle.all_texts(torch.from_numpy(scores))
    (found,) = Decoder(LETTERS, 0.02, Decoding(beam=500)).transcripts([scores])
    best = max(chances, key=chances.get)
    assert found.text == " ".join(LETTERS.inverse(best).split())
    assert_close(found.confidence, math.exp(chances[best]), rtol=1e-4)


@FUZZ
@given(T=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_other_readings_are_texts_of_their_own_best_first_with_their_probabilities(T, seed):
    scores = random_scores(T, seed)
    (found,) = Decoder(LETTERS, 0.02, Decoding(beam=500, alternatives=4)).transcripts([scores])
    readings = [found.text, *(text for text, _ in found.alternatives)]
    assert len(set(readings)) == len(readings)
    assert [p for _, p in found.alternatives] == sorted((p for _, p in found.alternatives), reverse=True)
    chances = {}
    for tokens, log_p in oracle.all_texts(torch.from_numpy(scores)).items():
        chances.setdefault(" ".join(LETTERS.inverse(tokens).split()), []).append(math.exp(log_p))
    for text, p in found.alternatives:
        assert_close(p, max(chances[text]), rtol=1e-3)
    assert len(readings) == min(5, len(chances))


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_as_many_other_readings_come_as_are_asked_for(count):
    (found,) = untrained().transcribe(heard()[0][:1], alternatives=count)
    assert len(found.alternatives) == count
    assert found.text == untrained().predict(heard()[0][:1])[0]


@FUZZ
@given(T=st.integers(0, 9), seed=st.integers(0, 10_000))
def test_a_beam_of_one_takes_the_best_character_of_every_step(T, seed):
    scores = random_scores(T, seed)
    numbers = oracle.text_of(tuple(scores.argmax(axis=1).tolist()))
    expected = " ".join(LETTERS.inverse(numbers).split())
    assert Decoder(LETTERS, 0.02, Decoding(beam=1)).texts([scores]) == [expected]


def test_a_wide_beam_finds_a_text_at_least_as_probable():
    sounds = heard()[0]
    greedy, wide = (untrained().transcribe(sounds, beam=beam) for beam in (1, 64))
    assert all(b.confidence >= a.confidence * (1 - 1e-4) for a, b in zip(greedy, wide, strict=True))
    assert any(b.confidence > 1.1 * a.confidence for a, b in zip(greedy, wide, strict=True))


def test_the_confidence_is_that_of_torchs_loss():
    model = learned()
    for scores, found in zip(model.outputs(heard()[0]), model.transcribe(heard()[0]), strict=True):
        numbers = torch.tensor(model.characters_.transform(found.text))
        log_p = torch.from_numpy(scores).double().log_softmax(1)
        loss = torch.nn.functional.ctc_loss(log_p, numbers, [len(scores)], [len(numbers)], reduction="sum")
        assert_close(found.confidence, math.exp(-float(loss)), rtol=1e-3)


def test_recordings_are_decoded_together_in_any_groups(monkeypatch):
    scores = [random_scores(T, T) for T in (9, 0, 3, 30, 5, 12)]
    expected = Decoder(LETTERS, 0.02, Decoding()).transcripts(scores)
    for together in (1, 20, 40, 90):
        monkeypatch.setattr(transcripts, "TOGETHER", together)
        found = Decoder(LETTERS, 0.02, Decoding()).transcripts(scores)
        assert [one.text for one in found] == [one.text for one in expected]
        assert_close([one.confidence for one in found], [one.confidence for one in expected], rtol=1e-5)


def test_no_recordings_have_no_transcripts():
    assert Decoder(LETTERS, 0.02, Decoding()).transcripts([]) == []


# -- words ---------------------------------------------------------------------------------------------------


def test_a_word_stands_where_its_characters_do():
    scores = scores_of("ab a", LETTERS)
    (found,) = Decoder(LETTERS, 0.5, Decoding()).transcripts([scores])
    assert [word.text for word in found.words] == ["ab", "a"]
    assert_close([(word.start, word.end) for word in found.words], [(0.0, 2.5), (4.5, 5.5)])  # steps 0–5 and 9–11
    sure = math.exp(8) / (math.exp(8) + 3)
    assert_close([word.confidence for word in found.words], [sure**2, sure], rtol=1e-5)


@pytest.mark.parametrize("text", [" a", "a ", "a  b", "  ", ""])
def test_spaces_at_the_ends_and_next_to_each_other_are_no_words(text):
    scores = np.zeros((3 * len(text) + 1, len(LETTERS)), np.float32)
    scores[:, 0] = 9
    for place, character in enumerate(text):
        scores[3 * place, [0, LETTERS.numbers[character]]] = 0, 9
    (found,) = Decoder(LETTERS, 0.5, Decoding(beam=1)).transcripts([scores])
    assert found.text == " ".join(text.split())
    assert [word.text for word in found.words] == text.split()


@pytest.mark.parametrize("model", [learned, untrained])
def test_words_follow_each_other_within_the_recording(model):
    for sound, found in zip(heard()[0], model().transcribe(heard()[0]), strict=True):
        assert [word.text for word in found.words] == found.text.split()
        times = [time for word in found.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= len(sound) / RATE + model().sound_.step_seconds
        assert all(word.start < word.end for word in found.words)
        for confidence in (found.confidence, *(word.confidence for word in found.words)):
            assert 0 <= confidence <= 1


# -- language models and hot words ---------------------------------------------------------------------------


@pytest.fixture
def unsure():
    """Characters and scores that say won, and a little less one."""
    characters = CharacterEncoder().fit(["won one"])
    return characters, scores_of("won", characters, doubts="one", steps=1)


def test_a_language_model_decides_where_the_sound_does_not(unsure, tmp_path):
    characters, scores = unsure
    path = arpa(tmp_path / "words.arpa", TWO)
    alone = Decoder(characters, 0.02, Decoding()).transcripts([scores])[0]
    helped = Decoder(characters, 0.02, Decoding(lm=path, lm_weight=2.0)).transcripts([scores])[0]
    assert (alone.text, helped.text) == ("won", "one")
    assert helped.confidence < alone.confidence  # which is of the sound alone
    assert Decoder(characters, 0.02, Decoding(lm=path, lm_weight=0.0)).texts([scores]) == ["won"]
    other = arpa(tmp_path / "other.arpa", {"one": -4.0, "won": -0.1})
    assert Decoder(characters, 0.02, Decoding(lm=other, lm_weight=2.0)).texts([scores]) == ["won"]


def test_a_hot_word_is_understood_where_it_is_nearly_heard(unsure):
    characters, scores = unsure
    assert Decoder(characters, 0.02, Decoding(hot_words=["one"])).texts([scores]) == ["one"]
    assert Decoder(characters, 0.02, Decoding(hot_words=["one"], hot_weight=0.0)).texts([scores]) == ["won"]
    assert Decoder(characters, 0.02, Decoding(hot_words=["no"])).texts([scores]) == ["won"]


def test_a_beam_of_one_hears_a_language_model_too(tmp_path):
    assert not Decoding(beam=1, lm=arpa(tmp_path / "words.arpa", TWO)).is_greedy
    assert not Decoding(beam=1, hot_words=["one"]).is_greedy
    assert not Decoding(beam=1, alternatives=1).is_greedy
    assert Decoding(beam=1, look_ahead=0.5).is_greedy


def test_the_estimator_hands_its_language_model_on(tmp_path):
    model, sounds = untrained(words=True), heard()[0][:4]
    path = arpa(tmp_path / "words.arpa", dict.fromkeys(("one", "two", "six"), -1.0))
    assert model.predict(sounds, lm=path, lm_weight=20.0, word_bonus=0.0) != model.predict(sounds)
    assert model.predict(sounds, hot_words=["six"], hot_weight=30.0) != model.predict(sounds)


def test_a_language_model_in_other_letters_is_an_error_with_a_hint(tmp_path):
    path = arpa(tmp_path / "capitals.arpa", {"ONE": -0.3, "TWO": -0.6})
    with pytest.raises(DataError, match="expected words in characters that the model knows, got 'ONE', 'TWO'") as found:
        untrained(words=True).predict(heard()[0][:1], lm=path)
    assert "capitals" in found.value.hint
    assert str(path) in found.value.message


def test_a_language_model_that_is_none_is_an_error(tmp_path):
    (tmp_path / "words.arpa").write_text("one two three\n")
    with pytest.raises(DataError, match=r"words\.arpa"):
        untrained().predict(heard()[0][:1], lm=tmp_path / "words.arpa")


def test_hot_words_in_other_characters_are_an_error():
    with pytest.raises(DataError, match="expected hot words in characters that the model knows, got 'Z', 'ü'"):
        untrained(words=True).predict(heard()[0][:1], hot_words=["one", "Zü"])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beam": 0}, "expected beam to be a whole number of at least 1, got 0"),
        ({"beam": 1.5}, "expected beam to be a whole number of at least 1, got 1.5"),
        ({"alternatives": -1}, "expected alternatives to be a whole number of at least 0, got -1"),
        ({"hot_words": "one"}, "expected a list of hot words, got one text, 'one'"),
        ({"hot_words": [""]}, "expected hot words"),
        ({"lm_weight": -1.0}, "expected an ngram_weight of at least 0"),
        ({"word_bonus": math.nan}, "expected a finite word_bonus"),
        ({"hot_weight": math.inf}, "expected a finite hot_weight"),
    ],
    ids=str,
)
def test_a_number_out_of_its_range_is_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        untrained().predict(heard()[0][:1], **options)


def test_an_option_that_is_none_is_refused():
    with pytest.raises(TypeError, match="beem"):
        untrained().predict(heard()[0][:1], beem=3)
