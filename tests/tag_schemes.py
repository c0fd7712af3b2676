"""Tags of one scheme said in another, for tests. Knows valid tags only, and reads none of the package's code."""

from __future__ import annotations

from collections.abc import Sequence


def in_iobes(valid_bio: Sequence[str]) -> list[str]:
    """One sentence of valid BIO in IOBES: the last word of an entity has E, a single one S."""
    ends = [not following.startswith("I") for following in [*valid_bio, "O"][1:]]
    letters = {("B", True): "S", ("I", True): "E"}
    return [letters.get((tag[0], end), tag[0]) + tag[1:] for tag, end in zip(valid_bio, ends, strict=True)]
