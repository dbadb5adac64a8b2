"""Progress of consumers: committed offsets of every group and partition compared with the ends of the topics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from data.contracts.topics import CONSUMERS
from data.kit import kafka

POLL_INTERVAL_S = 0.2
Behind = dict[tuple[str, TopicPartition], int]
"""(group, partition) -> number of messages that the group has not handled yet."""


@dataclass(frozen=True, slots=True)
class Moved:
    """``seconds``: until every partition had moved; None if one had not in time: see ``behind``.

    ``last``: those that moved last, by the last poll before the end.
    """

    seconds: float | None
    behind: Behind
    last: Behind = field(default_factory=dict)


def wait_until_moved(
    bootstrap: str, since: float, within_s: float, consumers: Mapping[str, Iterable[str]] = CONSUMERS
) -> Moved:
    """Wait until every group has committed all that its partitions hold now.

    ``since``: the time (monotonic seconds) from which ``seconds`` counts. Later messages are ignored.
    ``consumers``: group -> its topics.
    """
    return asyncio.run(_wait_until_moved(bootstrap, since, within_s, consumers))


async def lags(bootstrap: str) -> dict[str, int]:
    """Return how many messages each group has not handled yet."""
    async with _clients(bootstrap) as (admin, reader):
        behind = await _behind(admin, await _ends(admin, reader, CONSUMERS), CONSUMERS)
    return {name: sum(n for (group, _), n in behind.items() if group == name) for name in CONSUMERS}


async def _wait_until_moved(
    bootstrap: str, since: float, within_s: float, consumers: Mapping[str, Iterable[str]]
) -> Moved:
    deadline = since + within_s
    ends: dict[TopicPartition, int] | None = None
    behind: Behind = {}
    last: Behind = {}
    while True:
        try:
            async with _clients(bootstrap) as (admin, reader):
                ends = ends or await _ends(admin, reader, consumers)
                while behind := await _behind(admin, ends, consumers):
                    last = behind
                    if time.monotonic() > deadline:
                        return Moved(None, behind)
                    await asyncio.sleep(POLL_INTERVAL_S)
                return Moved(time.monotonic() - since, {}, last)
        except (KafkaError, OSError):
            if time.monotonic() > deadline:
                return Moved(None, behind)
            await asyncio.sleep(POLL_INTERVAL_S)


@asynccontextmanager
async def _clients(bootstrap: str) -> AsyncIterator[tuple[AIOKafkaAdminClient, AIOKafkaConsumer]]:
    admin, reader = AIOKafkaAdminClient(bootstrap_servers=bootstrap), AIOKafkaConsumer(bootstrap_servers=bootstrap)
    async with kafka.started(reader):
        try:
            await admin.start()
            yield admin, reader
        finally:
            await admin.close()


async def _ends(
    admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, consumers: Mapping[str, Iterable[str]]
) -> dict[TopicPartition, int]:
    described = await admin.describe_topics(sorted({topic for topics in consumers.values() for topic in topics}))
    partitions = [
        TopicPartition(topic["topic"], each["partition"]) for topic in described for each in topic["partitions"]
    ]
    found: dict[TopicPartition, int] = await reader.end_offsets(partitions)
    return found


async def _behind(
    admin: AIOKafkaAdminClient, ends: Mapping[TopicPartition, int], consumers: Mapping[str, Iterable[str]]
) -> Behind:
    behind: Behind = {}
    for group, topics in consumers.items():
        committed = await admin.list_consumer_group_offsets(group)
        for partition, end in ends.items():
            done = committed[partition].offset if partition in committed else 0
            if partition.topic in topics and done < end:
                behind[group, partition] = end - max(done, 0)
    return behind
