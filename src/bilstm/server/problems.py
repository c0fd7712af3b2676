"""What a caller is told when a request is refused: one shape of error, its status, and how it looks in JSON.

Knows words and statuses; knows nothing of models or sockets.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from bilstm.errors import BilstmError


class Refusal(BilstmError):
    """A request that is not answered as it asked to be.

    Args:
        status: of the answer.
        message: ``expected X, got Y``.
        hint: what the caller can do about it.
        field: which part of the request is wrong, for instance ``rows[2].rooms``; None for all of it.
        headers: further ones of the answer.

    Example:
        >>> print(Refusal(422, "expected a number, got 'x'", field="rows[0].rooms"))
        expected a number, got 'x'
    """

    def __init__(
        self,
        status: int,
        message: str,
        hint: str | None = None,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.field = field
        self.headers = headers or {}

    def __reduce__(self) -> Any:
        return BilstmError, (self.message, self.hint)


def wrong(message: str, field: str | None = None, hint: str | None = None) -> Refusal:
    """A request whose content cannot be understood: status 422."""
    return Refusal(422, message, hint, field=field)


def as_refusal(error: BaseException) -> Refusal:
    """Any error as what a caller is told: a mistake of his in full, one of ours without its inside."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, BilstmError):
        return Refusal(422, error.message, error.hint)
    return Refusal(
        500, "expected to answer this request, got an error that was not foreseen", "the server's own log says more"
    )


def problem_json(refusal: Refusal) -> bytes:
    """``{"error": {"message", "hint", "field", "status"}}``; hint and field may be null."""
    told = {
        "status": refusal.status,
        "message": refusal.message,
        "hint": refusal.hint,
        "field": refusal.field,
    }
    return orjson.dumps({"error": told})


def problem_response(refusal: Refusal) -> Response:
    """The answer that says so."""
    return Response(problem_json(refusal), refusal.status, refusal.headers, "application/json")


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "message", "hint", "field"],
            "additionalProperties": False,
            "properties": {
                "status": {"type": "integer", "description": "That of the answer."},
                "message": {"type": "string", "description": "What was expected, and what came."},
                "hint": {"type": "string", "nullable": True, "description": "What to do about it."},
                "field": {"type": "string", "nullable": True, "description": "Which part of the request is meant."},
            },
        }
    },
    "example": {
        "error": {
            "status": 422,
            "message": "expected a number, got 'many'",
            "hint": "null stands for a number that is not known",
            "field": "rows[0].rooms",
        }
    },
}


def phrase(status: int) -> str:
    """The name of a status."""
    return HTTPStatus(status).phrase
