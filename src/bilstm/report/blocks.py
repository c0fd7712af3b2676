"""What a report is made of: sections of text, tables, charts, sentences, alignments. Knows no model and no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bilstm.plotting.charts import Chart


@dataclass(frozen=True)
class Text:
    """A paragraph; ``tone`` is plain, good, doubtful or warning."""

    text: str
    tone: str = "plain"
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Heading:
    """The heading of a part of a section, and the name by which links find it."""

    text: str
    anchor: str = ""
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, a second line in small print, a link, and whether it is emphasised."""

    text: str
    small: str = ""
    href: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first cell of a row is its name.

    Args:
        caption: what the rows are.
        head: one name a column.
        rows: cells, or texts.
        texts: numbers of the columns that hold words rather than figures.
        anchors: a name for each row by which links find it.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    texts: Sequence[int] = (0,)
    anchors: Sequence[str] = ()
    kind: ClassVar[str] = "table"

    @property
    def cells(self) -> list[list[Cell]]:
        """Every cell as a Cell."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Facts:
    """Names and what there is to say of them."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Code:
    """Commands to be typed."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Drawing:
    """An interactive chart."""

    chart: Chart
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Piece:
    """Words of a sentence: what the model calls them, and what they truly are where that differs.

    Args:
        text: the words.
        label: what the model says; empty where it says nothing.
        truth: what is true, if that is something else; empty otherwise.
        colour: which of the legend's colours, from 0; −1 for none.
    """

    text: str
    label: str = ""
    truth: str = ""
    colour: int = -1


@dataclass(frozen=True)
class Sentence:
    """One sentence in pieces, with its name, a remark, and a name by which links find it."""

    name: str
    pieces: Sequence[Piece]
    remark: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Sentences:
    """Sentences with marked words, below a legend of (label, colour)."""

    legend: Sequence[tuple[str, int]]
    sentences: Sequence[Sentence]
    kind: ClassVar[str] = "sentences"


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
class Alignments:
    """Some of them, one below the other."""

    alignments: Sequence[Alignment]
    kind: ClassVar[str] = "alignments"


Block = Text | Heading | Table | Facts | Code | Drawing | Sentences | Alignments


@dataclass(frozen=True)
class Section:
    """A section of the report: the name by which links find it, its title, its parts."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
