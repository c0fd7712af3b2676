"""Every limit and choice of the server, with its default: the one home of what the command line and docs say of them.

Knows numbers and names; does not know models, requests or sockets.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, fields
from functools import lru_cache
from urllib.parse import urlsplit

from bilstm.errors import ParameterError

LARGE = 64 * 2**10  # bytes of rows from which they are read and checked in another thread, so that others go on
SHORTEST_TOKEN = 16  # characters; shorter ones can be guessed
PREFIX = re.compile(r"(?:/[\w.~-]+)+", re.ASCII)  # of a path; no server's name, as //evil.example would be
TAKEN = ("v1", "docs", "healthz", "readyz", "metrics", "openapi.json", "login", "logout", "_nicegui", "_nicegui_ws")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server behaves and what it refuses.

    Args:
        host: Address to listen on; any other than this machine's own needs a token.
        port: Port to listen on; 0 takes a free one.
        uds: Unix socket to listen on, instead of host and port: the path of a file, which is made.
        root_path: Path below which a proxy serves it, as /ml; the proxy may strip it or not.
        forwarded_allow_ips: Proxies whose X-Forwarded headers are believed: addresses or networks, with commas
            between them; * for all. A Unix socket's are believed always.
        token: What every caller must show, or None.
        allowed_hosts: Further names that callers and pages may have, a proxy's for instance: NAME or NAME:PORT.
        page: Whether the page is served, where nicegui is installed.
        access_log: Whether each request is a line on stderr.
        watch: Seconds between looks at the model files; 0 never looks, SIGHUP still loads anew.
        threads: Number of processor threads that one prediction may use; by default torch's own choice.
        body: Largest size of the body of a request, in bytes.
        header: Bytes of its head, at most.
        rows: Largest number of rows of a request.
        steps: Largest number of steps, or of words, of a row.
        total_steps: Steps or words of a whole request, at most.
        characters: Largest number of characters of a text.
        seconds: Longest sound of a whole request, in seconds.
        connections: Connections at one time; more are closed.
        requests: Number of requests to the API at a time; further ones get status 429.
        queue: Number of requests that may wait for one model; further ones get status 503.
        batch: Largest number of rows that are predicted together; 1 predicts every request by itself.
        keep_alive: Seconds for which an idle connection is kept; longer than the proxy in front keeps it.
        head_timeout: Seconds in which a request's head must be whole.
        body_timeout: Seconds in which its body must be whole.
        timeout: Longest time to an answer, in seconds.
        shutdown_timeout: Seconds in which requests are still answered after SIGTERM.
        session: Seconds for which a browser stays signed in.

    Raises:
        ParameterError: a number out of its range, a short token, or an open address without a token.

    Example:
        >>> Settings().host, Settings(host="0.0.0.0", token="correct horse battery").is_local
        ('127.0.0.1', False)
    """

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    root_path: str = ""
    forwarded_allow_ips: str = "127.0.0.1,::1"
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    page: bool = True
    access_log: bool = False
    watch: float = 1.0
    threads: int | None = None
    body: int = 16 * 2**20
    header: int = 32 * 2**10
    rows: int = 1000
    steps: int = 10_000
    total_steps: int = 100_000
    characters: int = 50_000
    seconds: float = 600.0
    connections: int = 500
    requests: int = 256
    queue: int = 128
    batch: int = 64
    keep_alive: float = 75.0  # balancers keep theirs for 60: who closes first answers 502
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    timeout: float = 30.0
    shutdown_timeout: float = 20.0
    session: float = 12 * 3600.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "root_path", f"/{self.root_path.strip('/')}".rstrip("/"))
        self._check_addresses()
        may_be_zero = ("port", "watch")
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_number and not (value > 0 or (value == 0 and field.name in may_be_zero)):
                raise ParameterError(f"expected {field.name} to be above 0, got {value}")
        if self.port > 65_535:
            raise ParameterError(f"expected a port up to 65535, got {self.port}")
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            hint = 'make one: python3 -c "import secrets; print(secrets.token_urlsafe())"'
            message = f"expected a token of at least {SHORTEST_TOKEN} characters, got {len(self.token)}"
            raise ParameterError(message, hint)
        if not self.is_local and self.token is None:
            hint = "set BILSTM_TOKEN or name a file with --token-file; or stay on 127.0.0.1"
            raise ParameterError(f"expected a token beside --host {self.host}, which others can reach, got none", hint)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.uds is not None or is_loopback(self.host)

    def _check_addresses(self) -> None:
        if self.root_path and (not PREFIX.fullmatch(self.root_path) or self.root_path.split("/")[1] in TAKEN):
            hint = "a path such as /ml, which is none of the server's own"
            raise ParameterError(f"expected a path to be served below, got {self.root_path!r}", hint)
        for host in self.allowed_hosts:
            if place_of(host) is None:
                hint = "shop.example, or shop.example:8443 for one port alone"
                raise ParameterError(f"expected the name of a host, got {host!r}", hint)
        for address in filter(None, self.forwarded_allow_ips.split(",")):
            try:
                _ = address == "*" or ipaddress.ip_network(address.strip())
            except ValueError as error:
                raise ParameterError(f"expected the address of a proxy, got {address!r} ({error})") from None


@lru_cache(maxsize=256)
def place_of(host: str) -> tuple[str, int | None] | None:
    """The name and the port of a Host, as URLs are compared: lower case, IDNA, no dot at the end; None if it is none.

    Example:
        >>> place_of("Shop.example.:8443"), place_of("[::1]"), place_of("::1"), place_of("shop.example/x")
        (('shop.example', 8443), ('::1', None), ('::1', None), None)
    """
    host = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host  # as --allow-host ::1
    try:
        parts = urlsplit(f"//{host}")
        name = (parts.hostname or "").rstrip(".").encode("idna").decode()
        return (
            (name, parts.port)
            if parts.netloc == host and not parts.username and re.fullmatch(r"[\w.:-]+", name)
            else None
        )
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this very machine.

    Example:
        >>> [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "0.0.0.0", "example.org")]
        [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
