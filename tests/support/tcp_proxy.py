"""A TCP proxy before a database, which a test closes and opens again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Proxy:
    """A TCP proxy before the server, which can be closed."""

    def __init__(self, url: str) -> None:
        self._to = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Return the server's URL through the proxy."""
        return make_conninfo(**{**self._to, "host": "127.0.0.1", "port": str(self._port)})

    async def open(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Abort the existing connections, and refuse new ones."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection(self._to["host"], self._to["port"])
        self._open |= {writer, upstream}
        with suppress(OSError):
            await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))
        self._open -= {writer, upstream}


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()
    writer.close()
