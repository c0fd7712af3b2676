"""Sentences that are made up, with names nobody has: for demonstrations and tests. Knows templates and syllables only.

Names are drawn anew for every sentence, so that a model cannot learn them by heart: what tells a person from a place is
how the name is built and what stands around it.
"""

from __future__ import annotations

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
        for kind, piece in _pieces(str(generator.choice(templates))):
            filled = piece if not kind else _name(kind, language, generator)
            cut = list(filled) if language == "chinese" else filled.split()
            words += cut
            names += [f"{'I' if place else 'B'}-{kind}" if kind else "O" for place in range(len(cut))]
        sentences.append(words)
        tags.append(names)
    return from_words(sentences, tags, f"invented {language} sentences")


def _pieces(template: str) -> list[tuple[str, str]]:
    """A template as (type or nothing, text) pieces."""
    pieces = []
    for part in template.split("{"):
        kind, closed, rest = part.partition("}")
        pieces += [(kind, ""), ("", rest)] if closed else [("", part)]
    return pieces


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
