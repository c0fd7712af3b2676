"""Short reviews that are made up, with one to five stars: for demonstrations and tests. Knows phrases and moods only.

What counts is not the words alone: "not good at all" praises nothing, what stands behind "but" weighs more than what
stands before it, and some reviewers click on the star beside the one they mean.
"""

from __future__ import annotations

import numpy as np

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
FILLERS = (
    "",
    "",
    "",
    "We went there on a Sunday.",
    "Bought it for my sister.",
    "Second time for us.",
    "My cat agrees.",
)
SURE = 0.9  # share of the reviewers who click on the star that they mean


def invented_reviews(count: int = 1000, *, seed: int = 0) -> tuple[list[str], list[int]]:
    """Reviews of one or two judgements, with their stars.

    Args:
        count: how many.
        seed: equal seeds give equal reviews.

    Returns:
        list of the texts, list of 1 to 5.

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
