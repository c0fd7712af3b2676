"""What stands in the body of a request: rows as JSON, or sound as it is or in parts of a form.

Knows kinds of bodies; does not know what rows mean. Nothing of a body is ever taken for the name of a file.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from bilstm.errors import did_you_mean
from bilstm.server.errors import RequestError, invalid
from bilstm.server.formats.inputs import JSON, MULTIPART
from bilstm.server.formats.values import LIKELY, kind_of
from bilstm.server.settings import LARGE, Settings


async def rows_of(request: Request, media: tuple[str, ...], settings: Settings) -> Any:
    """The rows of a request to predict.

    Args:
        request: with a body of one of the kinds ``media``.
        media: kinds that the model takes.
        settings: the limits.

    Raises:
        RequestError: the body is of another kind (415), no JSON (400), or has other fields (422).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in media:
        came = f"{kind[:100]!r}" if kind else "none"
        message = f"expected a content-type of {' or '.join(media)}, got {came}"
        raise RequestError(415, message, headers={"accept": ", ".join(media)})
    try:
        if kind == MULTIPART:
            return await _parts(request, settings)
        body = await request.body()
    except ClientDisconnect:  # nobody reads the answer
        raise RequestError(400, "expected the whole body, got a part of it") from None
    if kind != JSON:
        return [body]
    return _rows(await asyncio.to_thread(_parsed, body) if len(body) > LARGE else _parsed(body))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        message = f"expected JSON, got something else ({error.msg}; {where})"
        raise RequestError(400, message, 'send {"rows": […]}') from None


def _rows(value: Any) -> Any:
    if not isinstance(value, dict):
        raise invalid(f"expected an object, got {kind_of(value)}", None, 'send {"rows": […]}')
    if "rows" not in value:
        hint = (
            did_you_mean("rows", [name[:LIKELY] for name in islice(value, LIKELY)]) if value else 'send {"rows": […]}'
        )
        raise invalid("expected rows, got none", "rows", hint)
    others = [name for name in value if name != "rows"]
    if others:
        raise invalid(f"expected rows alone, got {others[0][:100]!r} too", others[0][:100])
    return value["rows"]


async def _parts(request: Request, settings: Settings) -> list[bytes]:
    """The files of a form's fields called ``sound``; what they are called on the caller's disk does not matter."""
    try:
        async with request.form(max_files=settings.rows, max_fields=settings.rows, max_part_size=settings.body) as form:
            parts = form.getlist("sound")
            sounds = [await part.read() for part in parts if isinstance(part, UploadFile)]
    except (MultiPartException, HTTPException) as error:
        reason = getattr(error, "message", None) or getattr(error, "detail", "")
        raise RequestError(400, f"expected a form of {MULTIPART}, got one that cannot be read ({reason})") from None
    if len(sounds) < len(parts) or not sounds:
        raise invalid("expected files in fields called 'sound', got none", "sound", "curl -F sound=@recording.wav …")
    return sounds
