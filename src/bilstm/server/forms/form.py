"""The form of one model: how its rows are read, checked and answered. Chooses by task; the kinds know the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bilstm.errors import BilstmError
from bilstm.server.problems import Refusal, wrong
from bilstm.server.settings import Settings

JSON = "application/json"


@dataclass
class Spent:
    """What one request has taken so far, all its rows together.

    Args:
        steps: or words.
        seconds: of sound.
        since: when its first row was begun, on the clock of ``time.monotonic``.
    """

    steps: int = 0
    seconds: float = 0.0
    since: float = field(default_factory=time.monotonic)


class Reads(Protocol):
    """How the rows of a request become what an estimator takes."""

    media: tuple[str, ...]  # of the request's body
    example: Any  # a row that works
    schema: dict[str, Any]  # of a row, in OpenAPI 3.0

    def count(self, row: Any) -> int:
        """Steps or words of a row as it came, as far as its length tells them."""

    def check(self, row: Any, where: str) -> Any:
        """A row as it is kept in the queue; a quick look that refuses what is of the wrong kind.

        Args:
            row: as JSON says it, or bytes.
            where: what errors call it.
        """

    def prepare(self, row: Any, where: str, spent: Spent) -> Any:
        """A checked row as it goes into a batch; the work of it may take a while, which counts as spent."""

    def size(self, row: Any) -> int:
        """Steps or words of a prepared row."""

    def gather(self, rows: Sequence[Any]) -> Any:
        """Prepared rows as one piece of data."""


class Answers(Protocol):
    """How predictions become JSON."""

    schema: dict[str, Any]  # of one prediction, in OpenAPI 3.0

    def predictions(self, data: Any) -> list[dict[str, Any]]:
        """One prediction for each row of gathered data."""


@dataclass(frozen=True)
class Form:
    """What a model's requests and answers look like.

    Args:
        reads: rows in.
        answers: predictions out.
        settings: the limits.
    """

    reads: Reads
    answers: Answers
    settings: Settings

    def check(self, rows: Any) -> list[Any]:
        """Rows of one request, each looked at.

        Raises:
            Refusal: they are none, too many, or one is of the wrong kind; it names the field.
        """
        if not isinstance(rows, list):
            raise wrong(f"expected a list of rows, got {kind_of(rows)}", "rows", 'send {"rows": […]}')
        if not rows:
            raise wrong("expected at least one row, got none", "rows")
        if len(rows) > self.settings.rows:
            hint = "send them in several requests"
            raise wrong(f"expected at most {self.settings.rows} rows a request, got {len(rows)}", "rows", hint)
        check_total(sum(map(self.reads.count, rows)), self.settings.total_steps)
        return [self.reads.check(row, f"rows[{n}]") for n, row in enumerate(rows)]

    def prepare(self, rows: Sequence[Any]) -> list[Any]:
        """Checked rows of one request, ready for a batch.

        Raises:
            Refusal: a row cannot be read, or is too long.
        """
        prepared, spent = [], Spent()
        for n, row in enumerate(rows):
            where = f"rows[{n}]"
            try:
                found = self.reads.prepare(row, where, spent)
            except Refusal:
                raise
            except BilstmError as error:
                raise wrong(error.message, where, error.hint) from None
            size = self.reads.size(found)
            spent.steps += size
            check_steps(size, self.settings.steps, where)
            check_total(spent.steps, self.settings.total_steps)
            prepared.append(found)
        return prepared

    def answer(self, prepared: Sequence[Any]) -> list[dict[str, Any]]:
        """A prediction for each prepared row, in their order."""
        return self.answers.predictions(self.reads.gather(prepared))


def check_steps(count: int, most: int, where: str) -> None:
    """Refuse a row that is too long."""
    if count > most:
        hint = "cut it into parts, or raise --max-steps where the server runs"
        raise wrong(f"expected at most {most} steps or words in a row, got {count}", where, hint)


def check_total(count: int, most: int) -> None:
    """Refuse a request whose rows are too long together."""
    if count > most:
        message = f"expected at most {most} steps or words a request, got {count}"
        raise wrong(message, "rows", "send the rows in several requests")


KINDS = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


def kind_of(value: Any) -> str:
    """What a JSON value is, in a word.

    Example:
        >>> kind_of([1]), kind_of(None)
        ('a list', 'null')
    """
    return "null" if value is None else KINDS.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """A JSON value as an error shows it: short ones as they are, others by their kind."""
    text = repr(value)
    return text if isinstance(value, (str, int, float)) and len(text) <= 60 else kind_of(value)
