"""A relay as a separate process: ``python -m ... URL BOOTSTRAP dies|lives``; the first kind waits to be killed.

It stops between publishing its second batch and committing it, the worst case.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from data.kit import relay
from data.kit.database import Database


async def main(url: str, bootstrap: str, fate: str) -> None:
    async with Database(url) as database:
        if fate == "dies":
            publish, batches = relay._publish, iter(range(1000))

            async def publish_and_wait(producer: AIOKafkaProducer, rows: Sequence[tuple[int, str, str, str]]) -> None:
                await publish(producer, rows)
                if next(batches) == 1:
                    print("published", flush=True)
                    await asyncio.Event().wait()

            relay._publish = publish_and_wait
        await relay.Relay(database, bootstrap, "shop", batch_size=20).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
