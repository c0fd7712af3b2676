"""Reviews that are made up: how words, denials and "but" move the stars."""

from __future__ import annotations

import numpy as np
import pytest

from bilstm.demo.invented import QUALITIES, invented_reviews


@pytest.fixture(scope="module")
def reviews():
    texts, stars = invented_reviews(20_000)
    return list(zip(texts, stars, strict=True))


def mean(reviews, *parts, but=False):
    """The stars of the reviews with all these parts and one judgement, or two with "but" between them."""
    found = [s for text, s in reviews if all(p in text for p in parts) and (", but " in text) == but]
    assert len(found) > 10
    return np.mean(found)


def test_the_better_the_word_the_more_stars(reviews):
    words = {mood: next(word for word, m in QUALITIES.items() if m == mood) for mood in range(-2, 3)}
    stars = [mean(reviews, words[mood], "The") for mood in range(-2, 3)]
    assert stars == sorted(stars)


@pytest.mark.parametrize("word, plain, denied", [("good", 3.5, 2.8), ("excellent", 4.0, 3.0)])
def test_what_is_denied_is_not_praise(reviews, word, plain, denied):
    assert mean(reviews, f"was {word}") > plain
    assert mean(reviews, f"Not {word} at all") < denied


def test_what_stands_behind_but_weighs_more(reviews):
    pairs = [(text.split(", but "), stars) for text, stars in reviews if ", but " in text]
    pairs = [
        (parts, stars) for parts, stars in pairs if not any(word in str(parts) for word in (" not ", "Not ", "never"))
    ]

    def mood(text):
        return next(QUALITIES[word] for word in QUALITIES if word in text.lower())

    for before, behind in ((2, -2), (-2, 2)):
        stars = [stars for parts, stars in pairs if (mood(parts[0]), mood(parts[1])) == (before, behind)]
        assert len(stars) > 50
        assert np.sign(np.mean(stars) - 3) == np.sign(behind)


def test_not_every_reviewer_clicks_on_the_star_that_is_meant(reviews):
    sure = {f"{word.capitalize()}, simply {word}." for word, mood in QUALITIES.items() if mood < 0}
    stars = [stars for text, stars in reviews if text in sure]
    assert set(stars) == {1, 2}  # one is meant
    assert np.mean(stars) < 1.2


def test_equal_seeds_give_equal_reviews():
    assert invented_reviews(5, seed=1) == invented_reviews(5, seed=1) != invented_reviews(5, seed=2)
