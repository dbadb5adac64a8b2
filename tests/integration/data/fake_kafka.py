"""A broker in memory with what :mod:`data.kit.consumer` uses of aiokafka, for tests that order messages and outages."""

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
    """A message as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


@dataclass
class Broker:
    """Topics, committed offsets and the members of groups; ``away``: nobody reaches it."""

    partitions: int = PARTITIONS
    away: bool = False
    topics: dict[str, list[list[Record]]] = field(default_factory=dict)
    committed: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    members: defaultdict[str, list[FakeConsumer]] = field(default_factory=lambda: defaultdict(list))

    def topic(self, name: str) -> list[list[Record]]:
        """The partitions of a topic, created at its first use."""
        return self.topics.setdefault(name, [[] for _ in range(self.partitions)])

    def publish(self, topic: str, key: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Append a message to the partition of its key."""
        number = sum(key.encode()) % len(self.topic(topic))
        log = self.topic(topic)[number]
        log.append(Record(topic, number, len(log), key.encode(), value, headers))
        return log[-1]

    def add_partitions(self, topic: str, count: int) -> None:
        """Raise the number of a topic's partitions: keys move."""
        self.topic(topic).extend([] for _ in range(count))

    def recreate(self, topic: str) -> None:
        """Delete a topic with its messages and committed offsets, and create it anew."""
        self.topics[topic] = [[] for _ in range(self.partitions)]
        self.committed = {at: offset for at, offset in self.committed.items() if at[1].topic != topic}
        for members in self.members.values():
            for member in members:
                member.positions = {place: at for place, at in member.positions.items() if place.topic != topic}

    def check(self) -> None:
        """Raise where the broker is away."""
        if self.away:
            raise KafkaConnectionError("the broker is away")

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let :mod:`data.kit.kafka` give clients of this broker."""
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
        """Nothing to end."""

    async def members(self) -> dict[str, str]:
        self._broker.check()
        return {}


class FakeProducer:
    """Sends at once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self) -> None:
        self._broker.check()

    async def stop(self) -> None:
        """Nothing to end."""

    async def send_and_wait(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        self._broker.check()
        self._broker.publish(topic, (key or b"").decode(errors="replace"), value, headers)


class FakeConsumer:
    """A member of a group; the partitions are dealt out anew whenever a member comes or goes."""

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
        places = [TopicPartition(topic, n) for topic in self._topics for n in range(len(self._broker.topic(topic)))]
        mine = set(places[members.index(self) :: len(members)])
        self.positions = {
            place: self.positions.get(place, self._broker.committed.get((self._group, place), 0)) for place in mine
        }
        return mine

    async def getmany(self, timeout_ms: int = 0, max_records: int = 0) -> Mapping[TopicPartition, list[Record]]:
        await asyncio.sleep(0.001)
        self._broker.check()
        found = {}
        for place in self.assignment() - self._paused:
            records = self._broker.topic(place.topic)[place.partition][self.positions[place] :][:max_records]
            if records:
                found[place] = records
                self.positions[place] = records[-1].offset + 1
        return found

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.positions[place] = offset

    def pause(self, place: TopicPartition) -> None:
        self._paused.add(place)

    def resume(self, place: TopicPartition) -> None:
        self._paused.discard(place)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._broker.check()
        for place, offset in offsets.items():
            self._broker.committed[self._group, place] = offset

    async def committed(self, place: TopicPartition) -> int | None:
        self._broker.check()
        return self._broker.committed.get((self._group, place))

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(len(self._broker.topic(topic))))

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self._broker.check()
        return {place: len(self._broker.topic(place.topic)[place.partition]) for place in places}
