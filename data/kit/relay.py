"""The relay: publishes a service's outbox to Kafka, in order per subject, and deletes what Kafka has acknowledged.

A batch is one transaction: acquire the database's relay lock, delete and return the oldest rows, publish them, commit.
A relay that dies anywhere leaves the rows unchanged, and the lock is freed with its connection, so another relay
continues at once; events published but not committed are published again, with the same ids, and the consumers' inboxes
skip them. Any number of relays may run: one at a time has the lock. While the outbox is empty one of them sleeps, and
the next commit wakes it (:data:`data.kit.messaging_ddl.MESSAGING_2`): events are published without delay, and an empty
outbox costs nothing.
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
from data.kit.database import MAX_BACKOFF_S, Connection, Database
from data.kit.messaging_ddl import RELAY_SLEEP_LOCK
from data.kit.tables import SHARED

BATCH_SIZE = 2000
CHANNEL = "outbox"
BUSY_POLL_INTERVAL_S, SLEEP_POLL_INTERVAL_S, STANDBY_POLL_INTERVAL_S = 0.005, 1.0, 0.25
"""Between polls of the outbox: after an event, at most while asleep, and at most while another relay has the lock."""
_LOCK = 0x0FACE7  # the same in every database: a lock belongs to one database
_outbox = SHARED.outbox
_TRY_LOCK = sql.Statement(select(func.pg_try_advisory_xact_lock(literal(_LOCK, BigInteger))))
_SLEEP = sql.Statement(select(func.pg_try_advisory_lock(literal(RELAY_SLEEP_LOCK, BigInteger))))
_WAKE = sql.Statement(select(func.pg_advisory_unlock(literal(RELAY_SLEEP_LOCK, BigInteger))))
_OLDEST = sql.Statement(select(_outbox.c.id).order_by(_outbox.c.id).limit(1))
_TAKE = sql.Statement(
    delete(_outbox)
    .where(_outbox.c.id.in_(select(_outbox.c.id).order_by(_outbox.c.id).limit(bindparam("limit"))))
    .returning(_outbox.c.id, _outbox.c.topic, _outbox.c.subject, _outbox.c.value)
)
_PARTITIONER = DefaultPartitioner()
_log = structlog.get_logger(__name__)


class Relay:
    """Publish one database's outbox until cancelled. ``published``: the number of published events."""

    def __init__(self, database: Database, bootstrap: str, name: str, batch_size: int = BATCH_SIZE) -> None:
        self._database, self._bootstrap, self._name, self._batch_size = database, bootstrap, name, batch_size
        self.published = 0

    async def run(self) -> None:
        """Publish until cancelled; retry while the database or the broker is unavailable."""
        backoff_s = 0.0
        while True:
            try:
                async with (
                    kafka.started(kafka.producer(self._bootstrap, f"{self._name}-relay")) as producer,
                    self._database.listen(CHANNEL) as connection,
                ):
                    interval_s = BUSY_POLL_INTERVAL_S
                    while True:
                        sent = await self.publish_batch(connection, producer)
                        backoff_s = 0.0
                        if sent == 0 and await _sleep_until_filled(connection):
                            continue
                        interval_s = BUSY_POLL_INTERVAL_S if sent else min(2 * interval_s, STANDBY_POLL_INTERVAL_S)
                        await asyncio.sleep(0 if sent == self._batch_size else interval_s)
            # A failed producer may still hold a batch: the next one starts empty.
            except (*database.UNAVAILABLE_ERRORS, KafkaError, OSError) as error:
                backoff_s = min(MAX_BACKOFF_S, 2 * backoff_s + 0.05)
                _log.warning("relay retries", relay=self._name, error=str(error), seconds=backoff_s)
            await asyncio.sleep(backoff_s)

    async def publish_batch(self, connection: Connection, producer: AIOKafkaProducer) -> int | None:
        """Publish one batch; return its size, or None if another relay has the lock."""
        if await sql.value(connection, _OLDEST, {}) is None:
            return 0
        async with connection.transaction():
            if not await sql.value(connection, _TRY_LOCK, {}):
                return None
            cursor = await connection.execute(_TAKE.text, {"limit": self._batch_size})
            rows = sorted(await cursor.fetchall())
            await _publish(producer, rows)
        self.published += len(rows)
        return len(rows)


async def _sleep_until_filled(connection: Connection) -> bool:
    """Sleep until there are events; return False at once if another relay sleeps or a transaction is writing events."""
    if not await sql.value(connection, _SLEEP, {}):
        return False
    # Writers from before the lock was acquired have committed, so this poll sees their events; later ones wake the
    # relay.
    while await sql.value(connection, _OLDEST, {}) is None:
        await database.wait_for_notification(connection, SLEEP_POLL_INTERVAL_S)
    await sql.run(connection, _WAKE, {})
    return True


async def _publish(producer: AIOKafkaProducer, rows: Sequence[tuple[int, str, str, str]]) -> None:
    """Send rows (id, topic, subject, value) in their order; raises KafkaError unless all are acknowledged.

    Each partition has one batch in flight: after a failure no later batch may arrive before it is repeated.
    """
    partitions: dict[str, list[int]] = {}
    batches: dict[TopicPartition, BatchBuilder] = {}
    sent: dict[TopicPartition, asyncio.Future[object]] = {}

    async def send(target: TopicPartition) -> None:
        if target in sent:
            await sent.pop(target)
        sent[target] = await producer.send_batch(batches.pop(target), target.topic, partition=target.partition)

    for _, topic, subject, value in rows:
        key, body = subject.encode(), value.encode()
        if topic not in partitions:
            partitions[topic] = sorted(await producer.partitions_for(topic))
        # The partition that the producer itself would choose for the key.
        target = TopicPartition(topic, _PARTITIONER(key, partitions[topic], partitions[topic]))
        batch = batches.setdefault(target, producer.create_batch())
        if batch.append(key=key, value=body, timestamp=None) is None:
            await send(target)
            batches[target] = producer.create_batch()
            batches[target].append(key=key, value=body, timestamp=None)
    for target in list(batches):
        await send(target)
    await asyncio.gather(*sent.values())
