"""A consumer: messages of Kafka become effects in one database, each event once.

The messages of a partition that came together are one transaction with their inbox rows. Offsets are committed now and
then: the inbox knows what a consumer that died before has applied. An event whose predecessor has not come is parked in
that transaction, and the partition goes on. While the database is away the partition rests, however long that takes.
When a transaction fails otherwise, its messages are taken one by one, and the one that a reader or handler refuses goes
to the dead letters with the reason; later events of its subject are parked behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.topics import CONSUMERS
from data.kit import database, kafka, parking
from data.kit.applier import Applier, Handler, ParkedEventRefused
from data.kit.database import Database
from data.kit.dead_letters import send_to_dead_letters
from data.kit.group_membership import GroupMembership
from data.kit.kafka import Message
from data.kit.reachability import ReachabilityCheck

After = Callable[[Sequence[EventData]], Awaitable[None]]
"""Called with the events that a transaction has applied, once it is committed; lost with the process, so for hints."""


async def _nothing(_applied: Sequence[EventData]) -> None:
    """Do nothing."""


MOST, WAIT_MS = 200, 200
COMMIT_EVERY_S = 0.5
"""Between commits of offsets while messages come: each is a write of the broker's, as dear as the message itself."""
LONGEST_REST_S = 1.0
"""Between attempts while the database or the broker is away."""
BROKER_TIMEOUT_S = 10.0
"""For one commit or one check; what fails is tried again later by the same client."""
MOST_FAILED_COMMITS = 3
"""In a row while the broker answers others: then the client is at fault and is begun anew."""
CHECK_EVERY_S = 5.0
"""Between steps of the check for parked events that wait in vain; the length decides nothing."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Rest:
    """A partition that waits: until when, and for how long the last time."""

    until: float
    last_s: float


@dataclass(slots=True)
class _Refused:
    """A parked event as a message, for the dead letters."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Consumer:
    """Reads the topics of ``name`` (as :data:`data.contracts.topics.CONSUMERS` has them) and hands events on.

    ``applied`` and ``parked`` count the events that had their effect and those that had to wait for another, ``buried``
    those that went to the dead letters, ``unreachable`` those that wait in vain.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        database: Database,
        bootstrap: str,
        topics: Sequence[str] | None = None,
        after: After = _nothing,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        self.name, self.topics = name, tuple(topics or CONSUMERS[name])
        self._database, self._bootstrap, self._after = database, bootstrap, after
        self._applier = Applier(name, handler, database)
        self._membership = GroupMembership(name, database, bootstrap)
        self._check = ReachabilityCheck(name, database, self.topics)
        self._check_every_s, self._next_check = check_every_s, 0.0
        self._resting: dict[TopicPartition, _Rest] = {}
        self._done: dict[TopicPartition, int] = {}
        self._committed = 0.0
        self._failed_commits = 0
        self.dead_lettered = 0

    @property
    def applied(self) -> int:
        """Events that had their effect."""
        return self._applier.applied

    @property
    def parked(self) -> int:
        """Events that had to wait for another."""
        return self._applier.parked

    @property
    def unreachable(self) -> int:
        """Events found to wait in vain."""
        return self._check.unreachable

    async def run(self) -> None:
        """Consume for ever; cancel it to end it. A broker that is away is waited for."""
        rest_s = 0.0
        while True:
            try:
                async with (
                    kafka.started(kafka.producer(self._bootstrap, f"{self.name}-dead-letters")) as producer,
                    self._membership.member() as client_id,
                    kafka.started(kafka.consumer(self._bootstrap, self.name, self.topics, client_id)) as consumer,
                ):
                    self._resting.clear()
                    self._done.clear()
                    self._failed_commits = 0
                    while True:
                        self._membership.check()
                        await self.once(consumer, producer)
                        rest_s = 0.0
            except (KafkaError, OSError) as error:  # a time-out is an OSError
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
        if time.monotonic() > self._next_check:
            await self._check_parked(consumer, producer)
            self._next_check = time.monotonic() + self._check_every_s

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit what was done. The client outlives an outage of the broker and goes on as the same member of its
        group: a new one would wait until the broker gives up the old one.
        """
        # A partition that went to another member is its business: it finds in the inbox what was done here.
        self._done = {place: end for place, end in self._done.items() if place in consumer.assignment()}
        if self._done:
            try:
                async with asyncio.timeout(BROKER_TIMEOUT_S):
                    await consumer.commit(self._done)
            except (KafkaError, TimeoutError) as error:
                _log.warning("offsets wait for kafka", consumer=self.name, error=str(error))
                self._failed_commits += await kafka.answers(self._bootstrap)
                if self._failed_commits >= MOST_FAILED_COMMITS:
                    raise
                return
        self._done, self._failed_commits = {}, 0
        self._committed = time.monotonic()

    async def _partition(
        self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, place: TopicPartition, messages: list[Message]
    ) -> int:
        """Apply the messages of one partition; gives the offset to go on from."""
        done: int = len(messages)
        why: Exception | None = None
        try:
            await self._after(await self._applier.apply(messages))
        except database.AWAY as error:
            done, why = 0, error
        except Exception:  # which one it was, and what it deserves, shows when each is alone
            done, why = await self._one_by_one(producer, messages)
        if done:
            self._resting.pop(place, None)
        if why is None:
            return messages[-1].offset + 1
        self._let_rest(consumer, place, messages[done].offset, why)
        return messages[done].offset

    async def _one_by_one(
        self, producer: AIOKafkaProducer, messages: Sequence[Message]
    ) -> tuple[int, Exception | None]:
        """Gives how many messages are done with, and why the next one waits."""
        for done, message in enumerate(messages):
            try:
                await self._one(producer, message)
            except database.AWAY as error:
                return done, error
        return len(messages), None

    async def _one(self, producer: AIOKafkaProducer, message: Message) -> None:
        """Apply or park one message's event, or send it to the dead letters."""
        try:
            await self._after(await self._attempt(producer, lambda: self._applier.apply([message])))
        except database.AWAY:
            raise
        except Exception as error:  # whatever a reader or a handler says of a message, the partition goes on
            await self._send_to_dead_letters(producer, message, error)
            event = _readable(message)
            async with self._database.transaction() as connection:
                await parking.lock(connection)
                queue = await parking.of_subject(connection, self.name, parking.subject_of(message, event))
                if event is not None or not any(row.is_message(message, None) for row in queue):
                    await parking.add(connection, self.name, message, event, refused=True)

    async def _attempt(
        self, producer: AIOKafkaProducer, attempt: Callable[[], Awaitable[Sequence[EventData]]]
    ) -> Sequence[EventData]:
        """The result of ``attempt``, made again after each parked event in its way has gone to the dead letters."""
        while True:
            try:
                return await attempt()
            except ParkedEventRefused as refused:
                row = refused.parked
                message = _Refused(row.topic, row.partition, row.kafka_offset, row.subject.encode(), row.value)
                await self._send_to_dead_letters(producer, message, refused.error)
                async with self._database.transaction() as connection:
                    await parking.refuse(connection, self.name, row)

    async def _send_to_dead_letters(self, producer: AIOKafkaProducer, message: Message, error: Exception) -> None:
        _log.error("event to dead letters", consumer=self.name, topic=message.topic, partition=message.partition,
                   offset=message.offset, error=str(error))  # fmt: skip
        await send_to_dead_letters(producer, self.name, message, error)
        self.dead_lettered += 1
        self._committed = 0.0  # at once: no inbox knows what is in the dead letters

    async def _check_parked(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        """Look for parked events that wait in vain; a database or broker that is away is asked the next time."""

        async def take_up(subjects: Sequence[str]) -> Sequence[EventData]:
            applied = await self._attempt(producer, lambda: self._applier.retry(subjects))
            await self._after(applied)
            return applied

        try:
            async with asyncio.timeout(BROKER_TIMEOUT_S):
                await self._check.run_once(consumer, take_up)
        except (*database.AWAY, KafkaError, TimeoutError) as error:
            _log.warning("check of parked events waits", consumer=self.name, error=str(error))

    def _let_rest(self, consumer: AIOKafkaConsumer, place: TopicPartition, offset: int, why: Exception) -> None:
        """Go on from ``offset`` after a while, each time a longer one."""
        now = time.monotonic()
        rest = self._resting.get(place) or _Rest(now, 0.01)
        rest.last_s = min(LONGEST_REST_S, 2 * rest.last_s)
        rest.until = now + rest.last_s
        self._resting[place] = rest
        _log.warning("partition waits", consumer=self.name, topic=place.topic, partition=place.partition,
                     error=str(why), seconds=rest.last_s)  # fmt: skip
        if place in consumer.assignment():
            consumer.seek(place, offset)
            consumer.pause(place)


def _readable(message: Message) -> CloudEvent | None:
    """The envelope of a message, None where even that can't be read."""
    try:
        return CloudEvent.model_validate_json(message.value or b"")
    except ValidationError:
        return None
