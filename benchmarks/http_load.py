"""HTTP load over a few keep-alive connections of one asyncio process.

The client uses minimal CPU time, since the measured server shares the machine with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

CONNECTIONS = 16
WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """``seconds``: latencies, ascending; ``rate``: requests per second; ``failed``: responses other than 2xx."""

    seconds: list[float]
    rate: float
    failed: int

    def percentile(self, share: float) -> float:
        """Return the latency in seconds at the quantile ``share``."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return a request as bytes on the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(url: str, make_request: Callable[[], bytes], seconds: float, connections: int = CONNECTIONS) -> LoadResult:
    """Send requests of ``make_request`` over ``connections`` connections for ``seconds``, after a warm-up."""
    return asyncio.run(_load(url, make_request, seconds, connections))


async def _load(url: str, make_request: Callable[[], bytes], seconds: float, connections: int) -> LoadResult:
    target = urlsplit(url)
    start = time.perf_counter() + WARM_UP_S
    workers = [
        _Connection(target.hostname or "", target.port or 80, make_request, start, start + seconds)
        for _ in range(connections)
    ]
    await asyncio.gather(*(worker.run() for worker in workers))
    latencies = sorted(each for worker in workers for each in worker.seconds)
    return LoadResult(latencies, len(latencies) / seconds, sum(worker.failed for worker in workers))


class _Connection:
    """One connection: sends a request, waits for its response, sends the next one."""

    def __init__(self, host: str, port: int, make_request: Callable[[], bytes], start: float, end: float) -> None:
        self._host, self._port, self._make_request, self._start, self._end = host, port, make_request, start, end
        self.seconds: list[float] = []
        self.failed = 0

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while (now := time.perf_counter()) < self._end:
            writer.write(self._make_request())
            head = await reader.readuntil(b"\r\n\r\n")
            await _body(reader, head)
            if now >= self._start:
                self.seconds.append(time.perf_counter() - now)
                self.failed += not head.startswith(b"HTTP/1.1 2")
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    for line in _headers(head):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
            return
        if line.startswith(b"transfer-encoding: chunked"):
            while size := int((await reader.readuntil(b"\r\n")), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
            return


def _headers(head: bytes) -> Iterator[bytes]:
    return iter(head.lower().split(b"\r\n"))
