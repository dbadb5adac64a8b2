"""A consumer: messages of Kafka become effects in one database, each event once.

The messages of a partition that came together are one transaction with their inbox rows. Offsets are committed now and
then: the inbox knows what a consumer that died before has applied. When a transaction fails for a reason that time may
mend (the database is away; an event came before one it builds on), the partition rests for a while and then goes on
where it was, and the other partitions go on meanwhile. When it fails otherwise, its messages are taken one by one, and
the one that fails goes to the dead letters with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.registry import payload
from data.contracts.topics import CONSUMERS
from data.kit import database, inbox, kafka, trace
from data.kit.database import Connection, Database
from data.kit.dead_letters import bury, is_for_another
from data.kit.errors import NotYet
from data.kit.kafka import Message

Handler = Callable[[Connection, CloudEvent, EventData], Awaitable[None]]
"""Applies an event within the transaction it is given. Raises NotYet where a predecessor is missing."""
After = Callable[[Sequence[EventData]], Awaitable[None]]
"""Hears which events a transaction has applied, once it is committed; lost with the process, so only for hints."""


async def _nothing(_applied: Sequence[EventData]) -> None:
    """Nobody needs to hear."""


MOST, WAIT_MS = 200, 200
COMMIT_EVERY_S = 0.5
"""Between commits of offsets while messages come: each is a write of the broker's, as dear as the message itself."""
LONGEST_REST_S = 5.0
PATIENCE_S = 60.0
"""How long an event may wait for its predecessor before it counts as poison."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Rest:
    """A partition that waits: until when, since when, and for how long the last time."""

    until: float
    since: float
    last_s: float


class Consumer:
    """Reads the topics of ``name`` (as :data:`data.contracts.topics.CONSUMERS` has them) and hands events on.

    ``applied`` and ``buried`` count the events that had their effect, and those that went to the dead letters.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        database: Database,
        bootstrap: str,
        topics: Sequence[str] | None = None,
        patience_s: float = PATIENCE_S,
        after: After = _nothing,
    ) -> None:
        self.name, self.topics = name, tuple(topics or CONSUMERS[name])
        self._handler, self._database = handler, database
        self._bootstrap, self._patience_s, self._after = bootstrap, patience_s, after
        self._resting: dict[TopicPartition, _Rest] = {}
        self._done: dict[TopicPartition, int] = {}
        self._committed = 0.0
        self.applied = self.buried = 0

    async def run(self) -> None:
        """Consume for ever; cancel it to end it. A broker that is away is waited for."""
        rest_s = 0.0
        while True:
            try:
                async with (
                    kafka.started(kafka.producer(self._bootstrap, f"{self.name}-dead-letters")) as producer,
                    kafka.started(kafka.consumer(self._bootstrap, self.name, self.topics)) as consumer,
                ):
                    self._resting.clear()
                    self._done.clear()
                    while True:
                        await self.once(consumer, producer)
                        rest_s = 0.0
            except (KafkaError, OSError) as error:
                rest_s = min(LONGEST_REST_S, 2 * rest_s + 0.1)
                _log.warning("consumer waits for kafka", consumer=self.name, error=str(error), seconds=rest_s)
            await asyncio.sleep(rest_s)

    async def once(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        """Take what has come, at most ``MOST`` messages, each partition on its own."""
        for place, rest in self._resting.items():
            if rest.until <= time.monotonic() and place in consumer.assignment():
                consumer.resume(place)
        came: Mapping[TopicPartition, list[Message]] = await consumer.getmany(timeout_ms=WAIT_MS, max_records=MOST)
        ends = await asyncio.gather(*(self._partition(consumer, producer, *each) for each in came.items()))
        self._done.update(zip(came, ends, strict=True))
        if not came or time.monotonic() > self._committed + COMMIT_EVERY_S:
            await self._commit(consumer)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        # A partition that went to another member is its business: it finds in the inbox what was done here.
        mine = {place: end for place, end in self._done.items() if place in consumer.assignment()}
        if mine:
            await consumer.commit(mine)
        self._done.clear()
        self._committed = time.monotonic()

    async def _partition(
        self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, place: TopicPartition, messages: list[Message]
    ) -> int:
        """Apply the messages of one partition; gives the offset to go on from."""
        try:
            await self._apply(messages)
        except Exception:  # which one it was, and what it deserves, shows when each is alone
            done, why = await self._one_by_one(producer, place, messages)
        else:
            done, why = len(messages), None
        if done:
            self._resting.pop(place, None)
        if why is None:
            return messages[-1].offset + 1
        self._let_rest(consumer, place, messages[done].offset, why)
        return messages[done].offset

    async def _one_by_one(
        self, producer: AIOKafkaProducer, place: TopicPartition, messages: list[Message]
    ) -> tuple[int, Exception | None]:
        """Gives how many messages are done with, and what made the next one wait."""
        for done, message in enumerate(messages):
            try:
                await self._apply([message])
            except database.AWAY as error:
                return done, error
            except NotYet as error:
                rest = self._resting.get(place) if done == 0 else None
                if rest is None or time.monotonic() < rest.since + self._patience_s:
                    return done, error
                await self._bury(producer, message, error)
            except Exception as error:  # whatever a handler or a reader says of a message, the partition goes on
                await self._bury(producer, message, error)
        return len(messages), None

    async def _apply(self, messages: Sequence[Message]) -> None:
        """Apply messages that are new to this consumer, in one transaction."""
        events = []
        for message in messages:
            if is_for_another(message, self.name):
                continue
            event = CloudEvent.model_validate_json(message.value or b"")
            data = payload(event)
            if data is not None:
                events.append((event, data))
        if not events:
            return
        async with self._database.transaction() as connection:
            new = await inbox.record(connection, self.name, [event.id for event, _ in events])
            applied = []
            for event, data in events:
                if event.id in new:
                    new.remove(event.id)
                    trace.current.set(event.traceparent)
                    await self._handler(connection, event, data)
                    applied.append(data)
        self.applied += len(applied)
        await self._after(applied)

    async def _bury(self, producer: AIOKafkaProducer, message: Message, error: Exception) -> None:
        _log.error("event to dead letters", consumer=self.name, topic=message.topic, partition=message.partition,
                   offset=message.offset, error=str(error))  # fmt: skip
        await bury(producer, self.name, message, error)
        self.buried += 1
        self._committed = 0.0  # at once: no inbox knows what was buried

    def _let_rest(self, consumer: AIOKafkaConsumer, place: TopicPartition, offset: int, why: Exception) -> None:
        """Go on from ``offset`` after a while, each time a longer one."""
        now = time.monotonic()
        rest = self._resting.get(place) or _Rest(now, now, 0.01)
        rest.last_s = min(LONGEST_REST_S, 2 * rest.last_s)
        rest.until = now + rest.last_s
        self._resting[place] = rest
        _log.warning("partition waits", consumer=self.name, topic=place.topic, partition=place.partition,
                     error=str(why), seconds=rest.last_s)  # fmt: skip
        if place in consumer.assignment():
            consumer.seek(place, offset)
            consumer.pause(place)
