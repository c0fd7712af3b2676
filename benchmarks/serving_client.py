"""Asks a server over kept connections, one request after the other on each, as quickly as it answers. Knows bytes only.

    python benchmarks/serving_client.py PORT CONNECTIONS SECONDS REQUESTS < requests.json

Reads a list of [path, body, answer]: the answer must come byte for byte. Prints latencies and mistakes as JSON.
A process of its own, so that it is not measured as part of the server's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
LENGTH = b"content-length: "


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, asked: list[tuple[bytes, bytes]], first: int, run: Run) -> None:
        self.asked = asked
        self.place = first
        self.run = run
        self.came = b""
        self.sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.place = (self.place + 1) % len(self.asked)
        self.sent = time.perf_counter()
        self.transport.write(self.asked[self.place][0])

    def data_received(self, data: bytes) -> None:
        self.came += data
        end = self.came.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self.came.find(LENGTH) + len(LENGTH)
        size = int(self.came[start : self.came.index(b"\r", start)])
        if len(self.came) < end + 4 + size:
            return
        now = time.perf_counter()
        body = self.came[end + 4 : end + 4 + size]
        is_right = self.came.startswith(b"HTTP/1.1 200") and body == self.asked[self.place][1]
        if self.run.note(now - self.sent, is_right, self.came):
            self.came = b""
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.run.closed(error)


class Run:
    """What all connections have found."""

    def __init__(self, connections: int, seconds: float, requests: int) -> None:
        self.connections = connections
        self.end = time.perf_counter() + seconds
        self.requests = requests
        self.latencies: list[float] = []
        self.wrong = 0
        self.first_wrong = ""
        self.over = asyncio.get_running_loop().create_future()

    def note(self, seconds: float, is_right: bool, came: bytes) -> bool:
        """One answer; whether to go on."""
        self.latencies.append(seconds)
        if not is_right:
            self.wrong += 1
            self.first_wrong = self.first_wrong or came[:300].decode(errors="replace")
        return time.perf_counter() < self.end and len(self.latencies) + self.connections <= self.requests

    def closed(self, error: Exception | None) -> None:
        if error is not None:
            self.wrong += 1
        self.connections -= 1
        if self.connections == 0:
            self.over.set_result(None)


async def main(port: int, connections: int, seconds: float, requests: int) -> None:
    asked = [
        ((HEAD.format(path=path, size=len(body.encode())) + body).encode(), answer.encode())
        for path, body, answer in json.load(sys.stdin)
    ]
    loop = asyncio.get_running_loop()
    run = Run(connections, seconds, requests)
    started = time.perf_counter()
    for n in range(connections):
        await loop.create_connection(lambda n=n: Client(asked, n * 7, run), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.wait_for(run.over, seconds + 60)
    took = time.perf_counter() - started
    found = sorted(run.latencies)
    told = {
        "requests": len(found),
        "seconds": round(took, 3),
        "per_second": round(len(found) / took, 1),
        "p50_ms": round(1000 * found[len(found) // 2], 3),
        "p99_ms": round(1000 * found[int(len(found) * 0.99)], 3),
        "wrong": run.wrong,
        "first_wrong": run.first_wrong,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    try:
        import uvloop  # a client that costs less measures better

        runner: Any = uvloop.run
    except ImportError:
        runner = asyncio.run
    runner(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
