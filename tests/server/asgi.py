"""Calls an application without a socket, and notes how much of a body it has read. Knows ASGI alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What came back; ``read`` are the bytes of the body that it took before it answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    read: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, whose shape is looked at here for all tests."""
        assert set(self.json) == {"error"}
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"status", "message", "hint", "field"}
        assert error["status"] == self.status
        assert error["message"].startswith("expected "), error
        return error


def call(app: Any, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request in an event loop of its own.

    Args:
        body: bytes; an iterable of parts, then sent in chunks; or anything that JSON can say.
        headers: with _ for -; ``host`` is 127.0.0.1 if none is given.
    """
    return asyncio.run(acall(app, method, path, body, **headers))


async def acall(app: Any, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """As :func:`call`, inside a loop."""
    named = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        parts: Iterable[bytes] = [b""]
    elif isinstance(body, bytes) or not isinstance(body, (dict, list, str)):
        is_whole = isinstance(body, bytes)
        parts = [body] if is_whole else body
        length = {"content-length": str(len(body))} if is_whole else {"transfer-encoding": "chunked"}
        named = named if "content-length" in named else named | length
    else:
        parts = [json.dumps(body).encode()]
        named = {"content-type": "application/json", "content-length": str(len(parts[0]))} | named
    route, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": route,
        "raw_path": route.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }
    coming, read, sent = iter(parts), 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        part = next(coming, None)
        if part is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        read += 0 if sent else len(part)
        return {"type": "http.request", "body": part, "more_body": "transfer-encoding" in named}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(message.get("body", b"") for message in sent[1:]), read)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true; a minute at most."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def connect(app: Any, path: str, **headers: str) -> list[dict[str, Any]]:
    """What an application sends when a websocket is opened and closed at once."""
    named = {"host": "127.0.0.1:8000"} | headers
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
        "subprotocols": [],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }
    coming, sent = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}], []

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
