"""What a caller is told when a request is refused: one shape of error, its status, and how it is sent.

Knows words and statuses; knows nothing of models or sockets.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bilstm.errors import BilstmError


class RequestError(BilstmError):
    """A request that is not answered as it asked to be; ``field`` is its part that is wrong, None for all of it.

    Example:
        >>> print(RequestError(422, "expected a number, got 'x'", field="rows[0].rooms"))
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
        self.status, self.field, self.headers = status, field, headers or {}

    def __reduce__(self) -> Any:
        return BilstmError, (self.message, self.hint)


def invalid(message: str, field: str | None = None, hint: str | None = None) -> RequestError:
    """A request whose content cannot be understood: status 422."""
    return RequestError(422, message, hint, field=field)


def ended() -> RequestError:
    """What came while the server ends, and cannot be answered any more."""
    return RequestError(503, "expected a server that goes on, got one that ends", headers={"retry-after": "5"})


def as_request_error(error: BaseException) -> RequestError:
    """Any error as what a caller is told: the caller's mistake in full, one of ours without its inside."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, BilstmError):
        return invalid(error.message, hint=error.hint)
    message = "expected to answer this request, got an error that was not foreseen"
    return RequestError(500, message, "the server's own log says more")


def error_json(error: RequestError) -> bytes:
    """``{"error": {"status", "message", "hint", "field"}}``; hint and field may be null."""
    content = {"status": error.status, "message": error.message, "hint": error.hint, "field": error.field}
    return orjson.dumps({"error": content})


def error_response(error: RequestError) -> Response:
    return Response(error_json(error), error.status, error.headers, "application/json")


async def send_error(scope: Scope, receive: Receive, send: Send, error: BaseException) -> None:
    """Answer a request with an error, or close a websocket that was not accepted."""
    error = as_request_error(error)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
    else:
        await error_response(error)(scope, receive, send)
