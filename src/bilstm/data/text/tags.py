"""Schemes of tags (BIO, IOB1, IOBES): which one, where entities lie, what may follow what. Pure functions on tags.

Knows neither files nor metrics nor models. BILOU's L and U are read as E and S, BMES's M as I; IOBES is written.
A broken sequence is read as CoNLL-2000's evaluation script reads it: every word with a tag but O lies in an entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from bilstm.data.columns import Array
from bilstm.errors import DataError, ParameterError, did_you_mean

Span = tuple[str, int, int]  # type, first word, one past the last
PREFIXES = {"B": "B", "I": "I", "O": "O", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I"}
SCHEMES = {"bio": "BIO", "iob1": "BIO", "iobes": "BIOES"}  # and the prefixes, as read, that each may hold
NO_TYPE = "_"  # how seqeval calls the type of a bare B or I


def scheme_of(sentences: Sequence[Sequence[str]]) -> str | None:
    """The scheme that the tags of a whole file follow, sentence by sentence: ``bio``, ``iob1``, ``iobes`` or None.

    In ``bio`` (also called IOB2) every entity begins with B, in ``iob1`` only one behind a neighbour of its type; BILOU
    and BMES count as ``iobes``. It is None where any tag is not O, a prefix and a type (``B-PER``), or, in a file that
    has no types, a bare prefix; or where there is neither O, B nor S.

    The trap: one sentence tells too little (``I-PER`` is IOB1, broken BIO or broken IOBES), so ask for the whole file.
    Where BIO and IOB1 are both broken, the scheme with fewer broken entities is named.

    Example:
        >>> scheme_of([["B-PER", "I-PER", "O"]]), scheme_of([["I-PER", "O"]]), scheme_of([["S-PER", "O"]])
        ('bio', 'iob1', 'iobes')
        >>> scheme_of([["NOUN", "X", "I"]]) is None
        True
    """
    evidence = Evidence()
    evidence.add(sentences)
    return evidence.scheme


class Evidence:
    """What speaks for each scheme of :func:`scheme_of`, gathered in as many pieces as sentences come."""

    def __init__(self) -> None:
        self.tags: set[str] = set()
        self.ends = False  # whether any tag is an E or an S
        self.inner_begins = self.needless_begins = 0  # what valid BIO has none of; what valid IOB1 has none of

    def add(self, sentences: Iterable[Sequence[str]]) -> None:
        for tags in sentences:
            self.tags.update(tags)
            before = ("O", "")
            for tag in tags:
                if not _is_readable(tag):
                    break  # then there is no scheme
                prefix, kind = here = _read(tag)
                self.ends |= prefix in "ES"
                follows = before[0] != "O" and before[1] == kind
                self.inner_begins += prefix == "I" and not follows
                self.needless_begins += prefix == "B" and not follows
                before = here

    @property
    def scheme(self) -> str | None:
        """``bio``, ``iobes`` or ``iob1``; None where these are no tags of entities."""
        if not _is_entity_tags(self.tags):
            return None
        if self.ends:
            return "iobes"
        return "iob1" if self.inner_begins > self.needless_begins else "bio"


def mended(sentences: Iterable[Sequence[str]], scheme: str) -> tuple[list[str], int]:
    """Sentences in one valid scheme, one behind the other, and how many of their tags were broken; see ``repair``."""
    whole: list[str] = []
    count = 0
    for tags in sentences:
        valid, broken = repair(tags, scheme)
        whole += tags if broken == 0 and scheme != "iob1" else valid
        count += broken
    return whole, count


def entities(tags: Sequence[str]) -> list[Span]:
    """The entities of one sentence, (type, first word, one past the last), in BIO, IOB1 or IOBES, valid or broken.

    An entity begins at B, at S, and at any I or E that follows O, E, S or another type; it goes on as long as I or E of
    its type follow without beginning one. The type of a bare ``B`` is ``_``.

    Source: conlleval, of the shared task of CoNLL-2000 (Tjong Kim Sang and Buchholz).
    """
    return [(kind or NO_TYPE, first, end) for kind, first, end in _spans([_read(tag) for tag in tags])]


def repair(tags: Sequence[str], scheme: str = "bio") -> tuple[list[str], int]:
    """One sentence in valid BIO or IOBES, and how many of its tags were broken; ``scheme`` is that of the whole file.

    The entities stay those that :func:`entities` reads. In BIO an I that begins an entity becomes B; in IOBES broken
    entities are cut anew. IOB1 becomes BIO, and BILOU and BMES take the letters of IOBES: neither is a repair.

    Example:
        >>> repair(["I-PER", "I-PER", "O"])
        (['B-PER', 'I-PER', 'O'], 1)
        >>> repair(["B-PER", "O", "U-LOC"], "iobes")
        (['S-PER', 'O', 'S-LOC'], 1)
    """
    if scheme not in SCHEMES:
        raise ParameterError(f"expected a scheme of tags, got {scheme!r}", hint=did_you_mean(scheme, SCHEMES))
    read = [_read(tag) for tag in tags]
    for tag in (tag for tag, (prefix, _) in zip(tags, read, strict=True) if prefix not in SCHEMES[scheme]):
        raise DataError(f"expected a tag of {scheme}, got {tag!r}", hint="it belongs to iobes")
    whole = _written(_spans(read), len(read), "iobes" if scheme == "iobes" else "bio")
    broken = 0 if scheme == "iob1" else sum(_tag(*was) != now for was, now in zip(read, whole, strict=True))
    return whole, broken


def check_tags(names: Sequence[str], scheme: str) -> None:
    """Raise a DataError unless all of some tags can stand in sentences of a scheme."""
    prefixes = SCHEMES.get(scheme, "")
    if not _is_entity_tags(set(names)) or any(_read(tag)[0] not in prefixes for tag in names):
        raise DataError(f"expected tags of {scheme[:50]!r}, got others, such as {names[0][:50]!r}")


def valid_transitions(names: Sequence[str]) -> tuple[Array, Array, Array] | None:
    """Which of K tags may follow which in valid BIO or IOBES: the sequences that :func:`repair` finds nothing in.

    Allowed (K, K) is true where tag j may follow tag i; first (K,) for tags that may begin a sentence, last (K,) for
    those that may end one. None where the tags follow no scheme.

    The trap: a set without O or single-word tags (``B`` and ``E`` alone, say) leaves sentences of some lengths without
    any valid path; and tags of IOB1 are judged as BIO, so convert them first.
    """
    if not _is_entity_tags(set(names)):
        return None
    prefixes, kinds = (np.array(column, dtype=object) for column in zip(*map(_read, names), strict=True))
    has_ends = bool(np.isin(prefixes, ["E", "S"]).any())
    opens, goes_on = np.isin(prefixes, ["B", "I"]), np.isin(prefixes, ["I", "E"])
    same_kind = kinds[:, None] == kinds[None, :]
    inside = opens[:, None] & goes_on[None, :] & same_kind  # (K, K)
    closed = ~opens if has_ends else np.ones(len(names), dtype=bool)  # in BIO any tag may be an entity's last
    return inside | (closed[:, None] & ~goes_on[None, :]), ~goes_on, closed


def _is_entity_tags(tags: set[str]) -> bool:
    words = tags - {"O"}
    if not all(_is_readable(tag) for tag in words):
        return False
    bare = {tag for tag in words if len(tag) == 1}
    if bare and bare != words:
        return False
    return "O" in tags or any(_read(tag)[0] in "BS" for tag in words)


def _is_readable(tag: str) -> bool:
    """Whether a tag is a bare prefix, or a prefix, a hyphen and a type; O has no type."""
    return tag[:1] in PREFIXES and (len(tag) == 1 or (len(tag) > 2 and tag[1] == "-" and tag[0] != "O"))


@lru_cache(maxsize=4096)
def _read(tag: str) -> tuple[str, str]:
    """The prefix in the letters of IOBES, and the type, empty where there is none."""
    if not _is_readable(tag):
        raise DataError(f"expected O, or a tag such as B-PER, got {tag!r}", hint="other tags have no entities")
    return PREFIXES[tag[0]], tag[2:]


def _tag(prefix: str, kind: str) -> str:
    return f"{prefix}-{kind}" if kind else prefix


def _spans(read: Sequence[tuple[str, str]]) -> list[Span]:
    spans: list[Span] = []
    first, before = 0, ("O", "")
    for place, here in enumerate([*read, ("O", "")]):
        begins = here[0] in "BS" or before[0] in "OES" or before[1] != here[1]
        if before[0] != "O" and (begins or here[0] == "O"):
            spans.append((before[1], first, place))
        if begins:
            first = place
        before = here
    return spans


def _written(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    tags = ["O"] * length
    for kind, first, end in spans:
        tags[first:end] = [_tag("B", kind)] + [_tag("I", kind)] * (end - first - 1)
        if scheme == "iobes":
            tags[end - 1] = _tag("S" if end - first == 1 else "E", kind)
    return tags
