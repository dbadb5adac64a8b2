"""Dead letters: messages that a consumer could not apply, stored unchanged with the reason, replayed on request."""

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
_MAX_REASON_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a consumer could not apply. ``headers``: its original ones."""

    at: datetime
    reason: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Origin(NamedTuple):
    """The first topic, partition and offset of a message."""

    topic: str
    partition: int
    offset: int


def origin(message: Message) -> Origin:
    """Return where a message was first; of a replayed dead letter, where the consumer refused it first."""
    for name, value in message.headers:
        if name == REPLAY_OF:
            topic, partition, offset = value.decode().rsplit("/", 2)
            return Origin(topic, int(partition), int(offset))
    return Origin(message.topic, message.partition, message.offset)


def is_for_other_consumer(message: Message, consumer: str) -> bool:
    """Return whether the message was replayed for another consumer than this one."""
    return any(name == REPLAYED_FOR and value != consumer.encode() for name, value in message.headers)


def is_replay(message: Message) -> bool:
    """Return whether the message is a replayed dead letter."""
    return any(name == REPLAY_OF for name, _ in message.headers)


async def send_to_dead_letters(producer: AIOKafkaProducer, consumer: str, message: Message, error: Exception) -> None:
    """Send a message to the dead letters of ``consumer``; return when Kafka has acknowledged it."""
    reason = f"{type(error).__name__}: {error}"[:_MAX_REASON_LENGTH]
    source = origin(message)
    details = {REASON: reason, TOPIC: source.topic, PARTITION: source.partition, OFFSET: source.offset}
    headers = [header for header in message.headers if header[0] not in {*details, REPLAYED_FOR, REPLAY_OF}]
    headers += [(name, str(value).encode()) for name, value in details.items()]
    await producer.send_and_wait(dead_letters(consumer), message.value, message.key, headers=headers)


async def replay(bootstrap: str, consumer: str, dry_run: bool = False) -> AsyncIterator[DeadLetter]:
    """Send the dead letters of ``consumer`` that were not replayed yet to their topics; yield each.

    Other consumers of the topic skip them. With ``dry_run`` nothing is sent and nothing is marked as sent.
    """
    topic = dead_letters(consumer)
    async with (
        kafka.started(kafka.consumer(bootstrap, _group(consumer), [])) as reader,
        kafka.started(kafka.producer(bootstrap, f"{consumer}-replay")) as producer,
    ):
        await _assign(bootstrap, reader, topic)
        async for message in _read_to_end(reader):
            letter = parse(message)
            if not dry_run:
                headers = replay_headers(consumer, letter)
                await producer.send_and_wait(letter.topic, letter.value, letter.key, headers=headers)
                await reader.commit({TopicPartition(topic, message.partition): message.offset + 1})
            yield letter


async def count_pending(bootstrap: str, consumers: Iterable[str]) -> dict[str, int]:
    """Return how many dead letters of each consumer were not replayed yet.

    One connection serves all: starting and stopping a client for each would take seconds.
    """
    topics = {consumer: dead_letters(consumer) for consumer in consumers}
    partitions = await kafka.partitions(bootstrap, topics.values())
    counts = {}
    async with (
        kafka.started(AIOKafkaConsumer(bootstrap_servers=bootstrap)) as reader,
        kafka.admin_client(bootstrap) as admin,
    ):
        begin_offsets, end_offsets = await reader.beginning_offsets(partitions), await reader.end_offsets(partitions)
        for consumer, topic in topics.items():
            own = [each for each in partitions if each.topic == topic]
            request = partial(admin.list_consumer_group_offsets, _group(consumer), partitions=own)
            committed = await kafka.retry(request) if own else {}
            done = {each: committed[each].offset if each in committed else -1 for each in own}
            counts[consumer] = sum(end_offsets[each] - max(done[each], begin_offsets[each]) for each in own)
    return counts


def _group(consumer: str) -> str:
    """Return the Kafka group whose offsets record which dead letters of ``consumer`` were replayed."""
    return f"{consumer}.replay"


async def _assign(bootstrap: str, reader: AIOKafkaConsumer, topic: str) -> None:
    """Read ``topic`` from the group's offsets, without joining the group: no other member waits for a rebalance."""
    partitions = await kafka.partitions(bootstrap, [topic])
    reader.assign(partitions)
    for partition in partitions:
        offset = await reader.committed(partition)
        if offset is None:
            await reader.seek_to_beginning(partition)
        else:
            reader.seek(partition, offset)


async def _read_to_end(reader: AIOKafkaConsumer) -> AsyncIterator[Message]:
    """Yield the messages up to the current end of the assigned partitions."""
    end_offsets = await reader.end_offsets(list(reader.assignment()))
    while behind := [partition for partition, end in end_offsets.items() if await reader.position(partition) < end]:
        for messages in (await reader.getmany(*behind, timeout_ms=1000)).values():
            for message in messages:
                yield message
        await asyncio.sleep(0)


def replay_headers(consumer: str, letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Return the headers of a replayed dead letter: its consumer, and where it was first."""
    source = f"{letter.topic}/{letter.partition}/{letter.offset}"
    return [*letter.headers, (REPLAYED_FOR, consumer.encode()), (REPLAY_OF, source.encode())]


def parse(message: Message) -> DeadLetter:
    """Return the dead letter in a message of a dead-letter topic."""
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
