"""Health probes of servers, each in the server's own protocol, without a password."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

# A healthy server answers a probe in milliseconds; a slower one is reported as unhealthy.
PROBE_TIMEOUT_S = 3.0


def find_failure(probes: Iterable[str]) -> str | None:
    """Describe the failure of the first probe that fails; None if all succeed.

    A probe is an address: ``http://host:port/path`` (status 200), ``postgresql://host:port`` (takes connections),
    ``redis://host:port`` (answers PING), ``kafka://host:port`` (answers ApiVersions).
    """
    for probe in probes:
        target = urlsplit(probe)
        try:
            wrong = _PROBES[target.scheme](target.hostname or "", target.port or 0, target.path)
        except (OSError, http.client.HTTPException) as error:
            return f"{probe} does not answer ({type(error).__name__})"
        if wrong:
            return f"{probe} answers {wrong}"
    return None


def _http(host: str, port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    finally:
        connection.close()
    return None if status == http.client.OK else str(status)


def _postgresql(host: str, port: int, _path: str) -> str | None:
    from psycopg.pq import PGconn, Ping

    found = PGconn.ping(f"host={host} port={port} connect_timeout={PROBE_TIMEOUT_S:.0f}".encode())
    return None if found == Ping.OK else Ping(found).name


def _redis(host: str, port: int, _path: str) -> str | None:
    # A refusal for lack of a password also shows that the server is healthy.
    reply = _exchange(host, port, b"PING\r\n", 5)
    return None if reply in (b"+PONG", b"-NOAU") else reply.decode(errors="replace")


def _kafka(host: str, port: int, _path: str) -> str | None:
    # ApiVersions, version 0, of client "p": the first request of every client. The reply: length, correlation, error.
    request = struct.pack(">hhih1s", 18, 0, 7, 1, b"p")
    _length, correlation, error = struct.unpack(
        ">iih", _exchange(host, port, struct.pack(">i", len(request)) + request, 10)
    )
    return None if (correlation, error) == (7, 0) else f"error {error}"


def _exchange(host: str, port: int, request: bytes, length: int) -> bytes:
    """Return the first ``length`` bytes of the reply; raises OSError if it is shorter."""
    with socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection:
        connection.sendall(request)
        reply = b""
        while len(reply) < length:
            chunk = connection.recv(length - len(reply))
            if not chunk:
                raise ConnectionError("the connection was closed")
            reply += chunk
    return reply


_PROBES: dict[str, Callable[[str, int, str], str | None]] = {
    "http": _http,
    "postgresql": _postgresql,
    "redis": _redis,
    "kafka": _kafka,
}
