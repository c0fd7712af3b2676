"""Who may ask: the name that a server is called by, the page that a browser's request comes from, the token.

Pure ASGI, so that websockets and the page's files are held to it too. Knows headers; does not know routes' content.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from bilstm.server.bounds import refuse
from bilstm.server.problems import Refusal
from bilstm.server.settings import Settings, is_loopback

OPEN = ("/healthz", "/readyz", "/login")  # answered without the token
COOKIE = "bilstm_session"
SAME = ("same-origin", "none")  # of Sec-Fetch-Site: from this very server, or typed by the user


class Callers:
    """Refuses callers by their Host (400), by the page that they come from (403), or without the token (401)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.sessions = None if settings.token is None else Sessions(settings.token, settings.session)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a caller through, or not."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refusal as refusal:
            if refusal.status == 401 and _is_reader(scope):
                await _to_login(send)
                return
            await refuse(scope, send, refusal)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self.settings.is_local and not self._is_known(host):
            raise Refusal(
                400,
                f"expected a Host of this machine, got {host[:100]!r}",
                "call it localhost or 127.0.0.1; --allow-host names others",
            )
        _check_origin(scope, headers, host)
        if self.sessions is not None and scope["path"] not in OPEN and not self.sessions.knows(headers):
            raise Refusal(
                401,
                "expected the token, got none that is right",
                "send the header Authorization: Bearer TOKEN; browsers sign in at /login",
                headers={"www-authenticate": "Bearer"},
            )

    def _is_known(self, host: str) -> bool:
        """Whether a Host is a name of this machine: other names lead here only when a name server lies."""
        name = hostname(host)
        return is_loopback(name) or name.lower() in self.settings.allowed_hosts


class Sessions:
    """The token, and what a browser holds instead of it.

    A session is its own end in seconds and a keyed digest of that; it holds neither the token nor anything to guess it.
    """

    def __init__(self, token: str, seconds: float) -> None:
        self._token = hashlib.sha256(token.encode()).digest()  # of one length, whatever a caller sends
        self._key = hmac.digest(token.encode(), b"bilstm session", "sha256")
        self.seconds = seconds

    def knows(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request shows the token or a session that is not over."""
        kind, _, shown = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and self.is_token(shown.strip()):
            return True
        return self.is_session(cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE, ""))

    def is_token(self, shown: bytes) -> bool:
        """Whether this is the token; takes the same time for every answer."""
        return secrets.compare_digest(hashlib.sha256(shown).digest(), self._token)

    def new(self) -> str:
        """A session that begins now."""
        end = str(int(time.time() + self.seconds))
        return f"{end}.{self._digest(end)}"

    def is_session(self, shown: str) -> bool:
        """Whether this is one of :meth:`new` that is not over."""
        end, _, digest = shown.partition(".")
        right = secrets.compare_digest(digest.encode(), self._digest(end).encode())
        return right and end.isdigit() and int(end) > time.time()

    def _digest(self, end: str) -> str:
        return hmac.digest(self._key, end.encode(), "sha256").hex()


def hostname(host: str) -> str:
    """The name in a Host header, without its port.

    Example:
        >>> hostname("localhost:8000"), hostname("[::1]:8000"), hostname("::1")
        ('localhost', '::1', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _check_origin(scope: Scope, headers: dict[bytes, bytes], host: str) -> None:
    """Refuse what a page of another server makes a browser send, but links to here; programs send no Origin."""
    origin = headers.get(b"origin")
    if origin is None:
        is_read = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        is_link = is_read and headers.get(b"sec-fetch-mode") == b"navigate"
        if headers.get(b"sec-fetch-site", b"none").decode("latin-1") not in SAME and not is_link:
            raise Refusal(403, "expected a request from this server's own pages, got one from another site")
        return
    came = origin.decode("latin-1")
    scheme, _, place = came.partition("://")
    if scheme not in ("http", "https") or place.lower() != host.lower():
        raise Refusal(
            403,
            f"expected a request from this server's own pages, got one from {came[:100]!r}",
            "use it from a program",
        )


def _is_reader(scope: Scope) -> bool:
    """Whether someone looks at a page in a browser."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return b"text/html" in accepted and not scope["path"].startswith("/v1/")


async def _to_login(send: Send) -> None:
    headers = [(b"location", b"/login"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
