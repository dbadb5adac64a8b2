"""The relay: publishes a service's outbox to Kafka, in order per subject, and deletes what Kafka has acknowledged.

A batch is one transaction: take the database's relay lock, delete the oldest rows and read them, publish them, commit.
A relay that dies anywhere leaves the rows as they were, and the lock goes with its connection, so any other relay goes
on at once; what was published but not committed is published again, with the same ids, and consumers' inboxes know it.
Any number of relays may run: one at a time has the lock. Where there is nothing to do one of them sleeps, and the next
commit wakes it (:data:`data.kit.messaging_ddl.MESSAGING_2`): an event waits for nobody, and an empty outbox costs
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from sqlalchemy import BigInteger, bindparam, delete, func, literal, select

from data.kit import database, kafka, sql
from data.kit.database import Connection, Database
from data.kit.messaging_ddl import RELAY_SLEEPS
from data.kit.tables import SHARED

BATCH = 2000
CHANNEL = "outbox"
BUSY_S, ASLEEP_S, STANDBY_S = 0.005, 1.0, 0.25
"""Between looks at the outbox: after an event, at most while asleep, and at most while others do the work."""
LONGEST_BACKOFF_S = 1.0
_LOCK = 0x0FACE7  # the same in every database: a lock is a database's own
_outbox = SHARED.outbox
_TRY_LOCK = sql.Statement(select(func.pg_try_advisory_xact_lock(literal(_LOCK, BigInteger))))
_SLEEP = sql.Statement(select(func.pg_try_advisory_lock(literal(RELAY_SLEEPS, BigInteger))))
_WAKE = sql.Statement(select(func.pg_advisory_unlock(literal(RELAY_SLEEPS, BigInteger))))
_FIRST = sql.Statement(select(_outbox.c.id).order_by(_outbox.c.id).limit(1))
_TAKE = sql.Statement(
    delete(_outbox)
    .where(_outbox.c.id.in_(select(_outbox.c.id).order_by(_outbox.c.id).limit(bindparam("most"))))
    .returning(_outbox.c.id, _outbox.c.topic, _outbox.c.subject, _outbox.c.value)
)
_PARTITIONER = DefaultPartitioner()
_log = structlog.get_logger(__name__)


class Relay:
    """Publishes one database's outbox until it is stopped. ``published``: events that it has published."""

    def __init__(self, database: Database, bootstrap: str, name: str, batch: int = BATCH) -> None:
        self._database, self._bootstrap, self._name, self._batch = database, bootstrap, name, batch
        self.published = 0

    async def run(self) -> None:
        """Publish for ever; cancel it to end it. A database or broker that is away is waited for."""
        backoff = 0.0
        while True:
            try:
                async with (
                    kafka.started(kafka.producer(self._bootstrap, f"{self._name}-relay")) as producer,
                    self._database.hearing(CHANNEL) as connection,
                ):
                    pause = BUSY_S
                    while True:
                        sent = await self.once(connection, producer)
                        backoff = 0.0
                        if sent == 0 and await _slept(connection):
                            continue
                        pause = BUSY_S if sent else min(2 * pause, STANDBY_S)
                        await asyncio.sleep(0 if sent == self._batch else pause)
            # A producer that failed may still hold a batch: the next one begins empty.
            except (*database.AWAY, KafkaError, OSError) as error:
                backoff = min(LONGEST_BACKOFF_S, 2 * backoff + 0.05)
                _log.warning("relay waits", relay=self._name, error=str(error), seconds=backoff)
            await asyncio.sleep(backoff)

    async def once(self, connection: Connection, producer: AIOKafkaProducer) -> int | None:
        """Publish one batch; gives its size, or None where another relay has the lock."""
        if await sql.value(connection, _FIRST, {}) is None:
            return 0
        async with connection.transaction():
            if not await sql.value(connection, _TRY_LOCK, {}):
                return None
            cursor = await connection.execute(_TAKE.text, {"most": self._batch})
            rows = sorted(await cursor.fetchall())
            await _publish(producer, rows)
        self.published += len(rows)
        return len(rows)


async def _slept(connection: Connection) -> bool:
    """Sleep until there are events; False, at once, where another relay sleeps or somebody is writing events."""
    if not await sql.value(connection, _SLEEP, {}):
        return False
    # Whoever wrote before the lock was had has committed: nothing comes without waking us that this look does not see.
    while await sql.value(connection, _FIRST, {}) is None:
        await database.heard(connection, ASLEEP_S)
    await sql.run(connection, _WAKE, {})
    return True


async def _publish(producer: AIOKafkaProducer, rows: Sequence[tuple[int, str, str, str]]) -> None:
    """Send rows (id, topic, subject, value) in their order; raises KafkaError unless all are acknowledged.

    Of each partition one batch is on its way at a time: after a failure no later one may arrive before it is repeated.
    """
    partitions: dict[str, list[int]] = {}
    building: dict[TopicPartition, BatchBuilder] = {}
    sent: dict[TopicPartition, asyncio.Future[object]] = {}

    async def send(place: TopicPartition) -> None:
        if place in sent:
            await sent.pop(place)
        sent[place] = await producer.send_batch(building.pop(place), place.topic, partition=place.partition)

    for _, topic, subject, value in rows:
        key, body = subject.encode(), value.encode()
        if topic not in partitions:
            partitions[topic] = sorted(await producer.partitions_for(topic))
        # Where the producer itself would put the key.
        place = TopicPartition(topic, _PARTITIONER(key, partitions[topic], partitions[topic]))
        builder = building.setdefault(place, producer.create_batch())
        if builder.append(key=key, value=body, timestamp=None) is None:
            await send(place)
            building[place] = producer.create_batch()
            building[place].append(key=key, value=body, timestamp=None)
    for place in list(building):
        await send(place)
    await asyncio.gather(*sent.values())
