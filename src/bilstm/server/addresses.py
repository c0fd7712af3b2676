"""Addresses as callers see them: below a prefix, and behind proxies that say how they were asked.

Knows hosts, paths and the headers of proxies; knows no token, no model and no socket.
"""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bilstm.server.settings import PREFIX, Settings

UNIX = "unix"  # stands for the address of a caller who comes through a Unix socket, which has none


def path_of(scope: Scope) -> str:
    """The path of a request below the prefix that the application is served under.

    Example:
        >>> path_of({"root_path": "/ml", "path": "/ml/docs"}), path_of({"root_path": "/ml", "path": "/mlx"})
        ('/docs', '/mlx')
    """
    path, root = scope["path"], scope.get("root_path", "")
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def address_of(scope: Scope, path: str) -> str:
    """Where a path of the application is for the caller: below its prefix."""
    root: str = scope.get("root_path", "")
    return root + path


class Forwarded:
    """Puts the prefix before each path, and lets what proxies say pass only where it comes from a trusted one.

    Behind it, headers that begin with ``X-Forwarded-`` are to be believed. The prefix is that of the settings or of
    ``X-Forwarded-Prefix``, whether the proxy has left it in the path or not.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        trusted = settings.forwarded_allow_ips
        self.settings = settings
        self.app: Any = ProxyHeadersMiddleware(app, trusted if trusted == "*" else f"{trusted},{UNIX}")  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(self._as_asked(scope) if scope["type"] in ("http", "websocket") else scope, receive, send)

    def _as_asked(self, scope: Scope) -> Scope:
        client = scope.get("client") or ((UNIX, 0) if self.settings.uds else None)
        is_trusted = client is not None and client[0] in self.app.trusted_hosts
        headers = [pair for pair in scope["headers"] if is_trusted or not pair[0].startswith(b"x-forwarded-")]
        prefix = dict(headers).get(b"x-forwarded-prefix", b"").decode("latin-1").rstrip("/")
        if not PREFIX.fullmatch(prefix):
            prefix = self.settings.root_path
        headers = [pair for pair in headers if pair[0] != b"x-forwarded-prefix"]  # NiceGUI would add it again
        return {**scope, "client": client, "headers": headers} | _below(prefix, scope)


def _below(prefix: str, scope: Scope) -> dict[str, str]:
    """Path and root_path with the prefix, which the path may have already."""
    path, root = scope["path"], scope.get("root_path", "")
    if prefix and not f"{path}/".startswith(f"{prefix}/"):
        path, root = prefix + path, prefix + root
    elif not root.startswith(prefix):
        root = prefix + root
    return {"path": f"{path}/" if path == root else path, "root_path": root}
