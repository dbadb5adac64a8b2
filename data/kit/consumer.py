"""A consumer: applies Kafka messages to one database, each event once.

The messages of a partition in one poll are one transaction with their inbox rows. Offsets are committed periodically:
the inbox records what a consumer that died before has applied. An event whose predecessor is missing is parked in that
transaction, and the partition continues. While the database is unavailable the partition is paused, for any time. When
a transaction fails otherwise, its messages are applied one by one, and a message that the parser or the handler refuses
is sent to the dead letters with the reason; later events of its subject are parked.
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
from data.kit.database import MAX_BACKOFF_S, Database
from data.kit.dead_letters import send_to_dead_letters
from data.kit.group_membership import GroupMembership
from data.kit.kafka import Message
from data.kit.reachability import ReachabilityCheck

AfterCommit = Callable[[Sequence[EventData]], Awaitable[None]]
"""Called with the applied events of a transaction after its commit; lost if the process dies, so only for hints."""


async def _do_nothing(_applied: Sequence[EventData]) -> None:
    """Do nothing."""


MAX_POLL_RECORDS, POLL_TIMEOUT_MS = 200, 200
COMMIT_INTERVAL_S = 0.5
"""Between commits of offsets under load: each is a write of the broker, as expensive as the message itself."""
BROKER_TIMEOUT_S = 10.0
"""For one commit or one check; the same client retries it later."""
MAX_FAILED_COMMITS = 3
"""In a row while the broker answers other clients: then the client is at fault and is replaced."""
PARKED_CHECK_INTERVAL_S = 5.0
"""Between steps of the check for unreachable parked events; results do not depend on it."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Backoff:
    """A paused partition: until when, and the last delay."""

    until: float
    delay_s: float


@dataclass(slots=True)
class _RefusedMessage:
    """A refused parked event as a message, for the dead letters."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Consumer:
    """Read the topics of ``name`` (by default those in :data:`data.contracts.topics.CONSUMERS`) and apply their events.

    ``applied`` and ``parked`` count the events that were applied and parked, ``dead_lettered`` those sent to the dead
    letters, ``unreachable`` the parked ones without a predecessor in the topics.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        database: Database,
        bootstrap: str,
        topics: Sequence[str] | None = None,
        after_commit: AfterCommit = _do_nothing,
        check_interval_s: float = PARKED_CHECK_INTERVAL_S,
    ) -> None:
        self.name, self.topics = name, tuple(topics or CONSUMERS[name])
        self._database, self._bootstrap, self._after_commit = database, bootstrap, after_commit
        self._applier = Applier(name, handler, database)
        self._membership = GroupMembership(name, database, bootstrap)
        self._check = ReachabilityCheck(name, database, self.topics)
        self._check_interval_s, self._next_check = check_interval_s, 0.0
        self._paused: dict[TopicPartition, _Backoff] = {}
        self._offsets: dict[TopicPartition, int] = {}
        self._last_commit = 0.0
        self._failed_commits = 0
        self.dead_lettered = 0

    @property
    def applied(self) -> int:
        """Return the number of applied events."""
        return self._applier.applied

    @property
    def parked(self) -> int:
        """Return the number of parked events."""
        return self._applier.parked

    @property
    def unreachable(self) -> int:
        """Return the number of parked events found unreachable."""
        return self._check.unreachable

    async def run(self) -> None:
        """Consume until cancelled; retry while the broker is unavailable."""
        backoff_s = 0.0
        while True:
            try:
                async with (
                    kafka.started(kafka.producer(self._bootstrap, f"{self.name}-dead-letters")) as producer,
                    self._membership.member() as client_id,
                    kafka.started(kafka.consumer(self._bootstrap, self.name, self.topics, client_id)) as consumer,
                ):
                    self._paused.clear()
                    self._offsets.clear()
                    self._failed_commits = 0
                    while True:
                        self._membership.check()
                        await self.poll_once(consumer, producer)
                        backoff_s = 0.0
            except (KafkaError, OSError) as error:  # a time-out is an OSError
                backoff_s = min(MAX_BACKOFF_S, 2 * backoff_s + 0.1)
                _log.warning("consumer retries kafka", consumer=self.name, error=str(error), seconds=backoff_s)
            await asyncio.sleep(backoff_s)

    async def poll_once(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        """Poll for at most ``MAX_POLL_RECORDS`` messages and handle those of each partition concurrently."""
        for partition, pause in self._paused.items():
            if pause.until <= time.monotonic() and partition in consumer.assignment():
                consumer.resume(partition)
        received: Mapping[TopicPartition, list[Message]] = await consumer.getmany(
            timeout_ms=POLL_TIMEOUT_MS, max_records=MAX_POLL_RECORDS
        )
        offsets = await asyncio.gather(*(self._handle(consumer, producer, *each) for each in received.items()))
        self._offsets.update(zip(received, offsets, strict=True))
        if not received or time.monotonic() > self._last_commit + COMMIT_INTERVAL_S:
            await self._commit(consumer)
        if time.monotonic() > self._next_check:
            await self._check_parked(consumer, producer)
            self._next_check = time.monotonic() + self._check_interval_s

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit the handled offsets.

        The client outlives an outage of the broker and stays the same member of its group: a new one would wait until
        the session of the old one expires.
        """
        # The new owner of a reassigned partition finds in the inbox what was applied here.
        assigned = consumer.assignment()
        self._offsets = {partition: end for partition, end in self._offsets.items() if partition in assigned}
        if self._offsets:
            try:
                async with asyncio.timeout(BROKER_TIMEOUT_S):
                    await consumer.commit(self._offsets)
            except (KafkaError, TimeoutError) as error:
                _log.warning("offsets not committed", consumer=self.name, error=str(error))
                self._failed_commits += await kafka.is_available(self._bootstrap)
                if self._failed_commits >= MAX_FAILED_COMMITS:
                    raise
                return
        self._offsets, self._failed_commits = {}, 0
        self._last_commit = time.monotonic()

    async def _handle(
        self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, partition: TopicPartition, messages: list[Message]
    ) -> int:
        """Apply the messages of one partition; return the offset to continue from."""
        done: int = len(messages)
        failure: Exception | None = None
        try:
            await self._after_commit(await self._applier.apply(messages))
        except database.UNAVAILABLE_ERRORS as error:
            done, failure = 0, error
        except Exception:  # applying each message separately shows which one failed
            done, failure = await self._handle_one_by_one(producer, messages)
        if done:
            self._paused.pop(partition, None)
        if failure is None:
            return messages[-1].offset + 1
        self._pause(consumer, partition, messages[done].offset, failure)
        return messages[done].offset

    async def _handle_one_by_one(
        self, producer: AIOKafkaProducer, messages: Sequence[Message]
    ) -> tuple[int, Exception | None]:
        """Return how many messages are handled, and the error that delays the next one."""
        for done, message in enumerate(messages):
            try:
                await self._handle_one(producer, message)
            except database.UNAVAILABLE_ERRORS as error:
                return done, error
        return len(messages), None

    async def _handle_one(self, producer: AIOKafkaProducer, message: Message) -> None:
        """Apply or park one message's event, or send it to the dead letters."""
        try:
            await self._after_commit(await self._attempt(producer, lambda: self._applier.apply([message])))
        except database.UNAVAILABLE_ERRORS:
            raise
        except Exception as error:  # whatever the parser or the handler raises, the partition continues
            await self._send_to_dead_letters(producer, message, error)
            event = _envelope(message)
            async with self._database.transaction() as connection:
                await parking.lock(connection)
                queue = await parking.of_subject(connection, self.name, parking.subject_of(message, event))
                if event is not None or not any(row.is_message(message, None) for row in queue):
                    await parking.add(connection, self.name, message, event, refused=True)

    async def _attempt(
        self, producer: AIOKafkaProducer, attempt: Callable[[], Awaitable[Sequence[EventData]]]
    ) -> Sequence[EventData]:
        """Return the result of ``attempt``, repeated after each refused parked event is sent to the dead letters."""
        while True:
            try:
                return await attempt()
            except ParkedEventRefused as refused:
                row = refused.parked
                message = _RefusedMessage(row.topic, row.partition, row.kafka_offset, row.subject.encode(), row.value)
                await self._send_to_dead_letters(producer, message, refused.error)
                async with self._database.transaction() as connection:
                    await parking.mark_refused(connection, self.name, row)

    async def _send_to_dead_letters(self, producer: AIOKafkaProducer, message: Message, error: Exception) -> None:
        _log.error("event sent to dead letters", consumer=self.name, topic=message.topic, partition=message.partition,
                   offset=message.offset, error=str(error))  # fmt: skip
        await send_to_dead_letters(producer, self.name, message, error)
        self.dead_lettered += 1
        self._last_commit = 0.0  # commit at once: the inbox has no row of a dead letter

    async def _check_parked(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        """Check for unreachable parked events; if the database or the broker is unavailable, retry at the next step."""

        async def retry_parked(subjects: Sequence[str]) -> Sequence[EventData]:
            applied = await self._attempt(producer, lambda: self._applier.retry(subjects))
            await self._after_commit(applied)
            return applied

        try:
            async with asyncio.timeout(BROKER_TIMEOUT_S):
                await self._check.run_once(consumer, retry_parked)
        except (*database.UNAVAILABLE_ERRORS, KafkaError, TimeoutError) as error:
            _log.warning("check of parked events failed", consumer=self.name, error=str(error))

    def _pause(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, failure: Exception) -> None:
        """Continue from ``offset`` after a delay that doubles each time."""
        now = time.monotonic()
        pause = self._paused.get(partition) or _Backoff(now, 0.01)
        pause.delay_s = min(MAX_BACKOFF_S, 2 * pause.delay_s)
        pause.until = now + pause.delay_s
        self._paused[partition] = pause
        _log.warning("partition paused", consumer=self.name, topic=partition.topic, partition=partition.partition,
                     error=str(failure), seconds=pause.delay_s)  # fmt: skip
        if partition in consumer.assignment():
            consumer.seek(partition, offset)
            consumer.pause(partition)


def _envelope(message: Message) -> CloudEvent | None:
    """Return the envelope of a message, None if it can't be parsed."""
    try:
        return CloudEvent.model_validate_json(message.value or b"")
    except ValidationError:
        return None
