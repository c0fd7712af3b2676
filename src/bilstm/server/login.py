"""The form in which a browser shows the token, and the cookie that it holds from then on. Knows one page of HTML."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bilstm.server.callers import COOKIE, Sessions
from bilstm.server.problems import Refusal, problem_response
from bilstm.server.routes import route
from bilstm.server.settings import Settings

LONGEST = 4096  # bytes of the form
PAUSE = 0.5  # seconds that a wrong token costs
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center }
main { width: min(22rem, 100vw - 2rem) }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { padding: .6rem; margin-top: .5rem }
p { color: light-dark(#a0200a, #ff9d8a) }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bilstm: sign in</title>
<style>{style}</style>
</head>
<body><main>
<h1>Sign in</h1>
{note}<form method="post" action="/login">
<label for="token">Token of this server</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button>
</form>
</main></body>
</html>
"""
HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def login_routes(settings: Settings) -> list[Route]:
    """``GET`` and ``POST /login``, and ``POST /logout``; without a token they lead to the page."""
    sessions = None if settings.token is None else Sessions(settings.token, settings.session)

    async def show(request: Request) -> Response:
        return RedirectResponse("/", 303) if sessions is None else _page()

    async def sign_in(request: Request) -> Response:
        if sessions is None:
            return RedirectResponse("/", 303)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST:
                return problem_response(Refusal(413, f"expected a form of at most {LONGEST} bytes, got more"))
        shown = parse_qs(body.decode("latin-1"), encoding="utf-8", errors="replace").get("token", [""])[0]
        if not sessions.is_token(shown.encode(errors="replace")):
            await asyncio.sleep(PAUSE)
            return _page("<p role='alert'>That is not the token.</p>\n", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            sessions.new(),
            max_age=int(sessions.seconds),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def sign_out(request: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return [route("/login", GET=show, POST=sign_in), route("/logout", POST=sign_out)]


def _page(note: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        PAGE.format(style=STYLE, note=note), status, {"content-security-policy": POLICY, "cache-control": "no-store"}
    )
