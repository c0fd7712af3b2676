"""What a report is made of: sections of text, tables, charts, sentences, alignments. Knows no model and no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bilstm.plotting.charts import Chart


class Block:
    """A part of a section."""

    @property
    def kind(self) -> str:
        """What the page's template calls it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; ``tone`` is plain, good, doubtful or warning."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Heading(Block):
    """The heading of a part of a section, and the name by which links find it."""

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, a second line in small print, a link, and whether it is emphasised."""

    text: str
    small: str = ""
    href: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table(Block):
    """Rows under a head; the first cell of a row is its name."""

    caption: str  # what the rows are
    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    texts: Sequence[int] = (0,)  # numbers of the columns that hold words rather than figures
    anchors: Sequence[str] = ()  # a name for each row by which links find it

    @property
    def cells(self) -> list[list[Cell]]:
        """Every cell as a Cell."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Facts(Block):
    """Names and what there is to say of them."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code(Block):
    """Commands to be typed."""

    text: str


@dataclass(frozen=True)
class Drawing(Block):
    """An interactive chart."""

    chart: Chart


@dataclass(frozen=True)
class Piece:
    """Words of a sentence: what the model calls them, and what they truly are where that differs."""

    text: str
    label: str = ""  # what the model says, if anything
    truth: str = ""  # what is true, if that is something else
    colour: int = -1  # which of the legend's colours, from 0; −1 for none


@dataclass(frozen=True)
class Sentence:
    """One sentence in pieces, with its name, a remark, and a name by which links find it."""

    name: str
    pieces: Sequence[Piece]
    remark: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Sentences(Block):
    """Sentences with marked words, below a legend of (label, colour)."""

    legend: Sequence[tuple[str, int]]
    sentences: Sequence[Sentence]


@dataclass(frozen=True)
class Pair:
    """A true word over a heard one; ``edit`` is same, wrong, missing or added."""

    truth: str
    heard: str
    edit: str


@dataclass(frozen=True)
class Alignment:
    """Truth over transcript of one recording, with its name, a remark, and a name by which links find it."""

    name: str
    pairs: Sequence[Pair]
    remark: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Alignments(Block):
    """Some of them, one below the other."""

    alignments: Sequence[Alignment]


@dataclass(frozen=True)
class Section:
    """A section of the report: the name by which links find it, its title, its parts."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
