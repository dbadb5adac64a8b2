"""A pool whose database was away for a while."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from data.kit.database import UNAVAILABLE_ERRORS, Database
from tests.integration.data.running import run

AWAY_S, BACK_WITHIN_S = 8.0, 3.0


def test_after_a_longer_outage_the_database_is_used_as_soon_as_it_is_back(shop_url: str) -> None:
    run(away_and_back(shop_url))


async def away_and_back(url: str) -> None:
    door = Door(url)
    await door.open()
    loop = asyncio.get_running_loop()
    async with Database(door.url) as database:
        assert await answers(database)
        door.close()
        closed = loop.time()
        while loop.time() < closed + AWAY_S:
            assert not await answers(database)
        await door.open()
        opened = loop.time()
        while not await answers(database):
            pass
        assert loop.time() < opened + BACK_WITHIN_S
    door.close()


async def answers(database: Database) -> bool:
    await asyncio.sleep(0.05)
    with suppress(*UNAVAILABLE_ERRORS):
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
            return True
    return False


class Door:
    """A port before the server, which can be shut."""

    def __init__(self, url: str) -> None:
        self._to = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """The server's address through the door."""
        return make_conninfo(**{**self._to, "host": "127.0.0.1", "port": str(self._port)})

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Cut those that are there, and refuse further ones."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to["host"], self._to["port"])
        self._open |= {writer, back}
        with suppress(OSError):
            await asyncio.gather(pump(reader, back), pump(there, writer))
        self._open -= {writer, back}


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()
    writer.close()
