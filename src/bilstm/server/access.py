"""Who may ask: by the name that they call, the page that a browser's request comes from, the token; and signing in.

The check is pure ASGI, so that websockets and the page's files are held to it too. Knows headers and one page of HTML.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bilstm.server.addresses import address_of, path_of
from bilstm.server.errors import RequestError, error_response, send_error
from bilstm.server.routes import route
from bilstm.server.settings import Settings, is_loopback, place_of

OPEN = ("/healthz", "/readyz", "/login")  # answered without the token
COOKIE = "bilstm_session"
PORTS = {"http": 80, "https": 443}


class AccessControl:
    """Refuses callers by their Host (400), by the page that they come from (403), or without the token (401)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.sessions = None if settings.token is None else Sessions(settings.token, settings.session)
        self.allowed = {place_of(host) for host in settings.allowed_hosts}
        self.names = {place[0] for place in self.allowed if place is not None}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] in ("http", "websocket"):
                self._check(scope)
        except RequestError as error:
            if error.status == 401 and _is_page_visit(scope):
                await RedirectResponse(address_of(scope, "/login"), 303)(scope, receive, send)
            else:
                await send_error(scope, receive, send, error)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        hosts = _hosts_of(headers)
        for host in hosts if self.settings.is_local else ():
            name = (place_of(host) or ("",))[0]
            # other names than this machine's lead here only when a name server lies
            if not is_loopback(name) and name not in self.names:
                hint = "call it localhost or 127.0.0.1; --allow-host names others"
                raise RequestError(400, f"expected a Host of this machine, got {host[:100]!r}", hint)
        self._check_origin(scope, headers, hosts)
        if self.sessions is not None and path_of(scope) not in OPEN and not self.sessions.knows(headers):
            hint = "send the header Authorization: Bearer TOKEN; browsers sign in at /login"
            asks = {"www-authenticate": "Bearer"}
            raise RequestError(401, "expected the token, got none that is right", hint, headers=asks)

    def _check_origin(self, scope: Scope, headers: dict[bytes, bytes], hosts: list[str]) -> None:
        """Refuse what a page of another server makes a browser send, but links to here; programs send no Origin."""
        origin = headers.get(b"origin")
        if origin is None:
            is_link = _is_read(scope) and headers.get(b"sec-fetch-mode") == b"navigate"
            # same-origin is this very server, none is typed by the user
            if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none") and not is_link:
                raise RequestError(403, "expected a request from this server's own pages, got one from another site")
            return
        came = origin.decode("latin-1")
        scheme, _, host = came.partition("://")
        place = place_of(host) if scheme in PORTS else None
        if place is not None and not (scheme == "http" and scope["scheme"] in ("https", "wss")):
            name, port = place[0], place[1] or PORTS[scheme]
            own = [place_of(host) for host in hosts]  # a port that is not said is that of the page's scheme
            if any(one is not None and (one[0], one[1] or PORTS[scheme]) == (name, port) for one in own):
                return
            if (name, None) in self.allowed or (name, port) in self.allowed:
                return
        message = f"expected a request from this server's own pages, got one from {came[:100]!r}"
        behind = "" if place is None else f"; for a proxy that serves it there, start it with --allow-host {host[:100]}"
        raise RequestError(403, message, f"use it from a program{behind}")


class Sessions:
    """The token, and what a browser holds instead of it.

    A session is its own end in seconds and a keyed digest of that; it holds neither the token nor anything to guess it.
    """

    def __init__(self, token: str, seconds: float) -> None:
        self._token = hashlib.sha256(token.encode()).digest()  # of one length, whatever a caller sends
        self._key = hmac.digest(token.encode(), b"bilstm session", "sha256")
        self.seconds = seconds
        self._zero = (
            time.time() - time.monotonic()
        )  # a session outlives the server, and lasts as long if a clock is set

    def knows(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, shown = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and self.is_token(shown.strip()):
            return True
        return self.is_session(cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE, ""))

    def is_token(self, shown: bytes) -> bool:
        """Whether this is the token; takes the same time for every answer."""
        return secrets.compare_digest(hashlib.sha256(shown).digest(), self._token)

    def new(self) -> str:
        end = str(int(self._now() + self.seconds))
        return f"{end}.{self._digest(end)}"

    def is_session(self, shown: str) -> bool:
        end, _, digest = shown.partition(".")
        right = secrets.compare_digest(digest.encode(), self._digest(end).encode())
        return right and end.isdigit() and int(end) > self._now()

    def _now(self) -> float:
        return self._zero + time.monotonic()

    def _digest(self, end: str) -> str:
        return hmac.digest(self._key, end.encode(), "sha256").hex()


def _hosts_of(headers: dict[bytes, bytes]) -> list[str]:
    """The Host, and what a trusted proxy says that it was asked for; of several proxies the nearest is heard."""
    host, forwarded, port = (
        headers.get(name, b"").decode("latin-1").rpartition(",")[2].strip()
        for name in (b"host", b"x-forwarded-host", b"x-forwarded-port")
    )
    seen = forwarded or host
    place = place_of(seen)
    if port.isdecimal() and place is not None and place[1] is None:
        seen = f"{seen}:{port}"
    return [host] if seen == host else [host, seen]


def _is_page_visit(scope: Scope) -> bool:
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return _is_read(scope) and b"text/html" in accepted and not path_of(scope).startswith("/v1/")


def _is_read(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")


# --- the form in which a browser shows the token -------------------------------------------------------------

LONGEST = 4096  # bytes of the form
PAUSE = 0.5  # seconds that a wrong token costs
PAGE = (resources.files(__package__) / "login.html").read_text(encoding="utf-8")
STYLE = PAGE.partition("<style>")[2].partition("</style>")[0]
HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def login_routes(settings: Settings) -> list[Route]:
    """``GET`` and ``POST /login``, and ``POST /logout``; without a token they lead to the page."""
    sessions = None if settings.token is None else Sessions(settings.token, settings.session)

    async def show(request: Request) -> Response:
        return RedirectResponse(address_of(request.scope, "/"), 303) if sessions is None else _page()

    async def sign_in(request: Request) -> Response:
        if sessions is None:
            return RedirectResponse(address_of(request.scope, "/"), 303)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST:
                return error_response(RequestError(413, f"expected a form of at most {LONGEST} bytes, got more"))
        shown = parse_qs(body.decode("latin-1"), encoding="utf-8", errors="replace").get("token", [""])[0]
        if not sessions.is_token(shown.encode(errors="replace")):
            await asyncio.sleep(PAUSE)
            return _page("<p role='alert'>That is not the token.</p>\n", 401)
        answer = RedirectResponse(address_of(request.scope, "/"), 303)
        is_secure, seconds = request.url.scheme == "https", int(sessions.seconds)
        answer.set_cookie(COOKIE, sessions.new(), max_age=seconds, secure=is_secure, **_kept(request))
        return answer

    async def sign_out(request: Request) -> Response:
        answer = RedirectResponse(address_of(request.scope, "/login"), 303)
        answer.delete_cookie(COOKIE, **_kept(request))
        return answer

    return [route("/login", GET=show, POST=sign_in), route("/logout", POST=sign_out)]


def _kept(request: Request) -> dict[str, Any]:
    """How a browser keeps the session: for this server's own addresses alone, and out of reach of scripts."""
    return {"path": address_of(request.scope, "") or "/", "httponly": True, "samesite": "strict"}


def _page(note: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(PAGE.replace("<!-- note -->", note), status, {"content-security-policy": POLICY})
