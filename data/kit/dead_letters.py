"""Dead letters: what a consumer could not take, kept as it came with the reason, listed and sent again on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from data.contracts.topics import dead_letters
from data.kit import kafka
from data.kit.kafka import Message

REASON, TOPIC, PARTITION, OFFSET = "facet-reason", "facet-topic", "facet-partition", "facet-offset"
REPLAYED_FOR = "facet-replayed-for"
REPLAY_OF = "facet-replay-of"
_LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a consumer could not take. ``headers``: those it came with."""

    at: datetime
    reason: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Origin(NamedTuple):
    """Where a message first was."""

    topic: str
    partition: int
    offset: int


def origin(message: Message) -> Origin:
    """Where a message first was: of a replayed dead letter, where the consumer refused it first."""
    for name, value in message.headers:
        if name == REPLAY_OF:
            topic, partition, offset = value.decode().rsplit("/", 2)
            return Origin(topic, int(partition), int(offset))
    return Origin(message.topic, message.partition, message.offset)


def is_for_another(message: Message, consumer: str) -> bool:
    """Whether it was replayed for another consumer than this one."""
    return any(name == REPLAYED_FOR and value != consumer.encode() for name, value in message.headers)


def is_replay(message: Message) -> bool:
    """Whether it is a dead letter that was sent again."""
    return any(name == REPLAY_OF for name, _ in message.headers)


async def send_to_dead_letters(producer: AIOKafkaProducer, consumer: str, message: Message, error: Exception) -> None:
    """Put a message to the dead letters of ``consumer``; returns when Kafka has it."""
    reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    came = origin(message)
    about = {REASON: reason, TOPIC: came.topic, PARTITION: came.partition, OFFSET: came.offset}
    headers = [header for header in message.headers if header[0] not in {*about, REPLAYED_FOR, REPLAY_OF}]
    headers += [(name, str(value).encode()) for name, value in about.items()]
    await producer.send_and_wait(dead_letters(consumer), message.value, message.key, headers=headers)


async def replay(bootstrap: str, consumer: str, dry_run: bool = False) -> AsyncIterator[DeadLetter]:
    """Send the dead letters of ``consumer`` that nobody has sent again yet to their topics; gives each.

    The others who read the topic pass over them. With ``dry_run`` nothing is sent and nothing is marked as sent.
    """
    topic = dead_letters(consumer)
    async with (
        kafka.started(kafka.consumer(bootstrap, _group(consumer), [])) as reader,
        kafka.started(kafka.producer(bootstrap, f"{consumer}-replay")) as producer,
    ):
        await _assign(bootstrap, reader, topic)
        async for message in _to_the_end(reader):
            letter = read(message)
            if not dry_run:
                headers = replay_headers(consumer, letter)
                await producer.send_and_wait(letter.topic, letter.value, letter.key, headers=headers)
                await reader.commit({TopicPartition(topic, message.partition): message.offset + 1})
            yield letter


async def waiting(bootstrap: str, consumers: Iterable[str]) -> dict[str, int]:
    """How many dead letters of each consumer have not been sent again.

    One connection answers for all: to start and stop a client for each would take seconds.
    """
    topics = {consumer: dead_letters(consumer) for consumer in consumers}
    places = await kafka.partitions(bootstrap, topics.values())
    counts = {}
    async with (
        kafka.started(AIOKafkaConsumer(bootstrap_servers=bootstrap)) as reader,
        kafka.administrator(bootstrap) as admin,
    ):
        begins, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
        for consumer, topic in topics.items():
            own = [place for place in places if place.topic == topic]
            ask = partial(admin.list_consumer_group_offsets, _group(consumer), partitions=own)
            committed = await kafka.retried(ask) if own else {}
            done = {place: committed[place].offset if place in committed else -1 for place in own}
            counts[consumer] = sum(ends[place] - max(done[place], begins[place]) for place in own)
    return counts


def _group(consumer: str) -> str:
    """The Kafka group whose offsets say which dead letters of ``consumer`` were sent again."""
    return f"{consumer}.replay"


async def _assign(bootstrap: str, reader: AIOKafkaConsumer, topic: str) -> None:
    """Read ``topic`` from where the group is, without being a member that others would have to wait for."""
    places = await kafka.partitions(bootstrap, [topic])
    reader.assign(places)
    for place in places:
        begin = await reader.committed(place)
        if begin is None:
            await reader.seek_to_beginning(place)
        else:
            reader.seek(place, begin)


async def _to_the_end(reader: AIOKafkaConsumer) -> AsyncIterator[Message]:
    """The messages that are there now."""
    ends = await reader.end_offsets(list(reader.assignment()))
    while behind := [place for place, end in ends.items() if await reader.position(place) < end]:
        for messages in (await reader.getmany(*behind, timeout_ms=1000)).values():
            for message in messages:
                yield message
        await asyncio.sleep(0)


def replay_headers(consumer: str, letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The headers of a dead letter that is sent to its topic again: for whom, and where it was first."""
    came = f"{letter.topic}/{letter.partition}/{letter.offset}"
    return [*letter.headers, (REPLAYED_FOR, consumer.encode()), (REPLAY_OF, came.encode())]


def read(message: Message) -> DeadLetter:
    """A message of a topic of dead letters."""
    headers = dict(message.headers)
    return DeadLetter(
        at=datetime.fromtimestamp(message.timestamp / 1000, UTC),
        reason=headers[REASON].decode(),
        topic=headers[TOPIC].decode(),
        partition=int(headers[PARTITION]),
        offset=int(headers[OFFSET]),
        key=message.key,
        value=message.value,
        headers=tuple(each for each in message.headers if each[0] not in {REASON, TOPIC, PARTITION, OFFSET}),
    )
