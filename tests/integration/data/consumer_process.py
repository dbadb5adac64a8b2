"""A consumer as a separate process, to be killed: ``python -m ... NAME URL BOOTSTRAP TOPIC``."""

from __future__ import annotations

import asyncio
import sys

from data.contracts.envelope import CloudEvent, EventData
from data.kit import kafka
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from tests.support.noted_events import note


async def slowly(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Take some time, so that a kill hits a transaction."""
    await note(connection, event, data)
    await asyncio.sleep(0.002)


# So that a successor of a killed consumer does not profit from an expired session.
kafka.SESSION_TIMEOUT_MS = 300_000


async def main(name: str, url: str, bootstrap: str, topic: str) -> None:
    async with Database(url) as database:
        await Consumer(name, slowly, database, bootstrap, [topic]).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
