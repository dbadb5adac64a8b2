"""A relay as a process of its own: ``python -m ... URL BOOTSTRAP dies|lives``; the first kind waits for its death.

It dies between publishing its second batch and committing it: the worst moment.
"""

from __future__ import annotations

import asyncio
import sys

from data.kit import relay
from data.kit.database import Database


async def main(url: str, bootstrap: str, fate: str) -> None:
    async with Database(url) as database:
        if fate == "dies":
            publish, batches = relay._publish, iter(range(1000))

            async def publish_and_wait(*arguments: object) -> None:
                await publish(*arguments)  # type: ignore[arg-type]
                if next(batches) == 1:
                    print("published", flush=True)
                    await asyncio.Event().wait()

            relay._publish = publish_and_wait
        await relay.Relay(database, bootstrap, "shop", batch_size=20).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
