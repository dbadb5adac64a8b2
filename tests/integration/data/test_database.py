"""A connection pool after an outage of its database."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from data.kit.database import UNAVAILABLE_ERRORS, Database
from tests.support.tcp_proxy import Proxy

OUTAGE_S, RECOVERY_TIMEOUT_S = 8.0, 3.0


async def test_after_a_long_outage_the_database_is_used_at_once(shop_url: str) -> None:
    proxy = Proxy(shop_url)
    await proxy.open()
    loop = asyncio.get_running_loop()
    async with Database(proxy.url) as database:
        assert await answers(database)
        proxy.close()
        closed = loop.time()
        while loop.time() < closed + OUTAGE_S:
            assert not await answers(database)
        await proxy.open()
        opened = loop.time()
        while not await answers(database):
            pass
        assert loop.time() < opened + RECOVERY_TIMEOUT_S
    proxy.close()


async def answers(database: Database) -> bool:
    await asyncio.sleep(0.05)
    with suppress(*UNAVAILABLE_ERRORS):
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
            return True
    return False
