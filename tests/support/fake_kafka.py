"""A broker in memory with the parts of aiokafka that :mod:`data.kit.consumer` uses, for tests of orders and outages."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from data.kit import kafka

PARTITIONS = 2


@dataclass(slots=True)
class Record:
    """A message as aiokafka returns it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


@dataclass
class Broker:
    """Topics, committed offsets and the members of groups; ``away``: it is unavailable."""

    partitions: int = PARTITIONS
    away: bool = False
    topics: dict[str, list[list[Record]]] = field(default_factory=dict)
    committed: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    members: defaultdict[str, list[FakeConsumer]] = field(default_factory=lambda: defaultdict(list))

    def topic(self, name: str) -> list[list[Record]]:
        """Return the partitions of a topic, created at its first use."""
        return self.topics.setdefault(name, [[] for _ in range(self.partitions)])

    def publish(self, topic: str, key: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Append a message to the partition of its key."""
        index = sum(key.encode()) % len(self.topic(topic))
        log = self.topic(topic)[index]
        log.append(Record(topic, index, len(log), key.encode(), value, headers))
        return log[-1]

    def add_partitions(self, topic: str, count: int) -> None:
        """Add partitions to a topic: keys move."""
        self.topic(topic).extend([] for _ in range(count))

    def recreate(self, topic: str) -> None:
        """Delete a topic with its messages and committed offsets, and create it again."""
        self.topics[topic] = [[] for _ in range(self.partitions)]
        self.committed = {at: offset for at, offset in self.committed.items() if at[1].topic != topic}
        for members in self.members.values():
            for member in members:
                member.positions = {
                    partition: at for partition, at in member.positions.items() if partition.topic != topic
                }

    def check(self) -> None:
        """Raise an error if the broker is unavailable."""
        if self.away:
            raise KafkaConnectionError("the broker is unavailable")

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make :mod:`data.kit.kafka` return clients of this broker."""
        monkeypatch.setattr(kafka, "producer", lambda _bootstrap, _name: FakeProducer(self))
        monkeypatch.setattr(kafka, "is_available", self._is_available)
        monkeypatch.setattr(kafka, "GroupClient", lambda _bootstrap, _group: FakeGroup(self))
        monkeypatch.setattr(kafka, "consumer", lambda _url, group, topics, _client: FakeConsumer(self, group, topics))

    async def _is_available(self, _bootstrap: str) -> bool:
        return not self.away


class FakeGroup:
    """A consumer group without dead members."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self) -> None:
        self._broker.check()

    async def stop(self) -> None:
        """Do nothing."""

    async def members(self) -> dict[str, str]:
        self._broker.check()
        return {}


class FakeProducer:
    """A producer that sends at once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self) -> None:
        self._broker.check()

    async def stop(self) -> None:
        """Do nothing."""

    async def send_and_wait(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        self._broker.check()
        self._broker.publish(topic, (key or b"").decode(errors="replace"), value, headers)


class FakeConsumer:
    """A member of a group; the partitions are reassigned whenever a member joins or leaves."""

    def __init__(self, broker: Broker, group: str, topics: Iterable[str]) -> None:
        self._broker, self._group, self._topics = broker, group, tuple(topics)
        self.positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def start(self) -> None:
        self._broker.check()
        self._broker.members[self._group].append(self)

    async def stop(self) -> None:
        if self in self._broker.members[self._group]:
            self._broker.members[self._group].remove(self)

    def assignment(self) -> set[TopicPartition]:
        members = self._broker.members[self._group]
        if self not in members:
            return set()
        partitions = [TopicPartition(topic, n) for topic in self._topics for n in range(len(self._broker.topic(topic)))]
        own = set(partitions[members.index(self) :: len(members)])
        self.positions = {
            partition: self.positions.get(partition, self._broker.committed.get((self._group, partition), 0))
            for partition in own
        }
        return own

    async def getmany(self, timeout_ms: int = 0, max_records: int = 0) -> Mapping[TopicPartition, list[Record]]:
        await asyncio.sleep(0.001)
        self._broker.check()
        found = {}
        for partition in self.assignment() - self._paused:
            records = self._broker.topic(partition.topic)[partition.partition][self.positions[partition] :][
                :max_records
            ]
            if records:
                found[partition] = records
                self.positions[partition] = records[-1].offset + 1
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self._paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._paused.discard(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._broker.check()
        for partition, offset in offsets.items():
            self._broker.committed[self._group, partition] = offset

    async def committed(self, partition: TopicPartition) -> int | None:
        self._broker.check()
        return self._broker.committed.get((self._group, partition))

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(len(self._broker.topic(topic))))

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self._broker.check()
        return {partition: len(self._broker.topic(partition.topic)[partition.partition]) for partition in partitions}
