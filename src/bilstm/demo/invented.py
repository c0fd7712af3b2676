"""Sentences with names, and reviews with stars, that are made up: for demonstrations and tests. Knows templates only.

Names are drawn anew for every sentence, so that a model cannot learn them by heart: what tells a person from a place is
how the name is built and what stands around it.

In a review what counts is not the words alone: "not good at all" praises nothing, what stands behind "but" weighs more
than what stands before it, and some reviewers click on the star beside the one they mean.
"""

from __future__ import annotations

import re

import numpy as np

from bilstm.data.dataset import Dataset
from bilstm.data.text.reader import from_words

ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "kl", "st", "tr")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ["", "n", "r", "l", "s", ""]
ENGLISH = (
    "{PER} met {PER} in {LOC} .",
    "Last week {PER} moved from {LOC} to {LOC} .",
    "{ORG} has hired {PER} .",
    "The mayor of {LOC} , {PER} , said no .",
    "Shares of {ORG} fell after {PER} left .",
    "{PER} works for {ORG} in {LOC} .",
    "Nobody in {LOC} knew why {ORG} had closed .",
    "It rained all day .",
)
PLACE_ENDINGS, FIRM_ENDINGS = ("ville", "burg", "ton", "", ""), ("Bank", "Motors", "Group", "", "")
CHINESE = (
    "{PER}昨天在{LOC}见到了{PER}。",
    "{ORG}的总部设在{LOC}。",
    "{PER}从{LOC}搬到了{LOC}。",
    "记者{PER}报道，{ORG}将在{LOC}开会。",
    "{ORG}任命{PER}为经理。",
    "今天天气很好。",
)
SURNAMES, GIVEN = "王李张刘陈杨黄赵吴周徐孙马朱胡", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平"
PLACES, PLACE_SIGNS = "东南西北安平长金海江河山州阳宁林石", ("市", "县", "省", "镇")
FIRMS, FIRM_SIGNS = "华中信通达天新联友利丰恒", ("公司", "银行", "大学", "集团")


def invented_sentences(count: int = 1000, *, language: str = "english", seed: int = 0) -> Dataset:
    """Sentences with persons, places and firms as BIO tags; of Chinese every character is a word.

    Args:
        count: how many.
        language: english or chinese.
        seed: equal seeds give equal sentences.

    Example:
        >>> data = invented_sentences(100, language="chinese")
        >>> len(data), sorted(set(data.tags["tag"]))[:3]
        (100, ['B-LOC', 'B-ORG', 'B-PER'])
    """
    generator = np.random.default_rng(seed)
    templates = CHINESE if language == "chinese" else ENGLISH
    sentences, tags = [], []
    for _ in range(count):
        words: list[str] = []
        names: list[str] = []
        for number, piece in enumerate(re.split(r"{(\w+)}", str(generator.choice(templates)))):
            kind = piece if number % 2 else ""
            filled = _name(kind, language, generator) if kind else piece
            cut = list(filled) if language == "chinese" else filled.split()
            words += cut
            names += [f"{'I' if place else 'B'}-{kind}" if kind else "O" for place in range(len(cut))]
        sentences.append(words)
        tags.append(names)
    return from_words(sentences, tags, f"invented {language} sentences")


def _name(kind: str, language: str, generator: np.random.Generator) -> str:
    def some(characters: str, low: int, high: int) -> str:
        return "".join(generator.choice(list(characters), generator.integers(low, high + 1)))

    if language == "chinese":
        if kind == "PER":
            return some(SURNAMES, 1, 1) + some(GIVEN, 1, 2)
        characters, signs = (PLACES, PLACE_SIGNS) if kind == "LOC" else (FIRMS, FIRM_SIGNS)
        return some(characters, 2, 2) + str(generator.choice(signs))
    if kind == "PER":
        return " ".join(_syllables(generator) for _ in range(generator.integers(1, 3)))
    ending = str(generator.choice(PLACE_ENDINGS if kind == "LOC" else FIRM_ENDINGS))
    return _syllables(generator) + (f" {ending}" if kind == "ORG" and ending else ending)


def _syllables(generator: np.random.Generator) -> str:
    drawn = [
        f"{generator.choice(ONSETS)}{generator.choice(VOWELS)}{generator.choice(CODAS)}"
        for _ in range(generator.integers(1, 4))
    ]
    return "".join(drawn).capitalize()


# --- reviews -----------------------------------------------------------------------------------------------------

# words with their mood, from −2 to 2
QUALITIES = {
    **dict.fromkeys(("excellent", "superb", "wonderful", "perfect", "outstanding", "brilliant"), 2),
    **dict.fromkeys(("good", "nice", "solid", "pleasant", "helpful", "fresh", "quick"), 1),
    **dict.fromkeys(("average", "ordinary", "acceptable", "so-so"), 0),
    **dict.fromkeys(("poor", "bad", "slow", "dull", "noisy", "rude", "flimsy"), -1),
    **dict.fromkeys(("awful", "terrible", "horrible", "useless", "disgusting", "dreadful"), -2),
}
THINGS = ("food", "service", "room", "battery", "screen", "story", "acting", "coffee", "staff", "delivery", "sound")
PLAIN = ("The {thing} was {word}", "{word} {thing}", "I found the {thing} {word}", "Their {thing} is {word}")
STRONGER = ("The {thing} was really {word}", "So {word}, this {thing}", "{word}, simply {word}")
DENIED = (
    "The {thing} was not {word} at all",
    "I would not call the {thing} {word}",
    "not {word} at all",
    "The {thing} was never {word}",
)
FILLERS = (*[""] * 3, "We went there on a Sunday.", "Bought it for my sister.", "Second time for us.", "My cat agrees.")
SURE = 0.9  # share of the reviewers who click on the star that they mean


def invented_reviews(count: int = 1000, *, seed: int = 0) -> tuple[list[str], list[int]]:
    """Reviews of one or two judgements, and their stars, 1 to 5; equal seeds give equal reviews.

    Example:
        >>> texts, stars = invented_reviews(3)
        >>> texts[1], stars[1]
        ('I found the sound bad. Bought it for my sister.', 2)
    """
    generator = np.random.default_rng(seed)
    texts, stars = [], []
    for _ in range(count):
        text, mood = _review(generator)
        step = 0 if generator.random() < SURE else generator.choice((-1, 1))
        texts.append(text)
        stars.append(int(np.clip(3 + round(mood) + step, 1, 5)))
    return texts, stars


def _review(generator: np.random.Generator) -> tuple[str, float]:
    """A text, and its mood from −2 to 2."""
    text, mood = _judgement(generator)
    kind = generator.random()
    if kind < 0.25:
        second, weight = _judgement(generator)
        second = second if second.startswith("I ") else second[0].lower() + second[1:]
        text, mood = f"{text}, but {second}", (mood + 3 * weight) / 4
    elif kind < 0.5:
        second, weight = _judgement(generator)
        text, mood = f"{text}. {second}", (mood + weight) / 2
    filler = str(generator.choice(FILLERS))
    return f"{text}.{' ' if filler else ''}{filler}", mood


def _judgement(generator: np.random.Generator) -> tuple[str, float]:
    word = str(generator.choice(list(QUALITIES)))
    mood = float(QUALITIES[word])
    kind = generator.random()
    if kind < 0.3 and mood:
        form, mood = generator.choice(DENIED), -1.0 if mood > 0 else 0.5  # to deny the bad is faint praise
    elif kind < 0.5 and mood:
        form, mood = generator.choice(STRONGER), float(np.clip(2 * mood, -2, 2))
    else:
        form = generator.choice(PLAIN)
    text = str(form).format(word=word, thing=generator.choice(THINGS))
    return text[0].upper() + text[1:], mood
