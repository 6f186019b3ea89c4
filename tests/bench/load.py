"""A small HTTP load on loopback, `python -m bench.load PORT SECONDS PATHS`: 128 connections, a request at a time.

Every answer is waited for; anything but a 2xx or 3xx ends the load with an error.
"""

import asyncio
import json
import sys
import time
from itertools import cycle
from pathlib import Path

import uvloop

CONNECTIONS = 128
HEAD = "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n\r\n"


class Visitor(asyncio.Protocol):
    """One kept connection: asks, waits for the whole answer, asks again until the time is up."""

    def __init__(self, requests: "cycle[bytes]", until: float) -> None:
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests, self._until = requests, until
        self._buffer = b""
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < length_of(head):
            return
        if head[9:10] not in b"23":
            self._end(RuntimeError(head.split(b"\r\n")[0].decode()))
            return
        now = time.perf_counter()
        self.latencies.append(now - self._asked)
        self._buffer = b""
        if now < self._until:
            self._ask()
        else:
            self._end(None)

    def connection_lost(self, _error: Exception | None) -> None:
        self._end(ConnectionError("the server closed the connection"))

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(next(self._requests))

    def _end(self, error: Exception | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
            self._transport.close()


def length_of(head: bytes) -> int:
    """The Content-Length of an answer, 0 without one (304 and 204 have none)."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n")[0]) if found else 0


async def main(port: int, seconds: float, paths: list[str]) -> None:
    requests = cycle([HEAD.format(path, port).encode() for path in paths])
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    visitors = []
    for _ in range(CONNECTIONS):
        _, visitor = await loop.create_connection(lambda: Visitor(requests, began + seconds), "127.0.0.1", port)
        visitors.append(visitor)
    await asyncio.gather(*(visitor.done for visitor in visitors))
    took = time.perf_counter() - began
    latencies = sorted(latency for visitor in visitors for latency in visitor.latencies)
    count = len(latencies)
    p50, p99 = (round(latencies[int(count * part)] * 1000, 2) for part in (0.5, 0.99))
    print(json.dumps({"jobs": count, "seconds": took, "p50_ms": p50, "p99_ms": p99}))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())))
