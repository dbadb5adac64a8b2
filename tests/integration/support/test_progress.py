"""The chaos run's measure of consumers: a partition has moved once its group has committed what it held."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cluster.local.ephemeral import Server
from cluster.local.ports import free_ports
from data.kit.kafka import ensure_topics
from tests.support.chaos.progress import wait_until_moved

ONE, OTHER = "progress-one", "progress-other"
CONSUMERS = {"progress-fast": (ONE,), "progress-slow": (ONE, OTHER)}


async def test_a_partition_has_moved_when_its_group_has_committed_what_it_held(kafka_server: Server) -> None:
    async def send(topic: str, partition: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka_server.address, acks="all") as producer:
            await producer.send_and_wait(topic, b"event", partition=partition)

    async def commit(group: str, topic: str, partition: int, offset: int) -> None:
        place = TopicPartition(topic, partition)
        async with AIOKafkaConsumer(
            bootstrap_servers=kafka_server.address, group_id=group, enable_auto_commit=False
        ) as consumer:
            consumer.assign([place])
            await consumer.commit({place: offset})

    async def behind() -> dict[tuple[str, str, int], int]:
        moved = await asyncio.to_thread(wait_until_moved, kafka_server.address, time.monotonic() - 1, 0.0, CONSUMERS)
        assert (moved.seconds is None) == bool(moved.behind)
        return {(group, *place): count for (group, place), count in moved.behind.items()}

    await ensure_topics(kafka_server.address, [ONE, OTHER])
    # All are at their ends; a broker that has just started has no coordinator of groups at first.
    moved = await asyncio.to_thread(wait_until_moved, kafka_server.address, time.monotonic(), 60.0, CONSUMERS)
    assert moved.behind == {}
    assert await behind() == {}
    for topic, partition in ((ONE, 0), (ONE, 0), (ONE, 3), (OTHER, 1)):
        await send(topic, partition)
    lags = {(ONE, 0): 2, (ONE, 3): 1, (OTHER, 1): 1}
    expected = {
        (group, topic, n): lag for group in CONSUMERS for (topic, n), lag in lags.items() if topic in CONSUMERS[group]
    }
    assert await behind() == expected
    await commit("progress-fast", ONE, 0, 2)
    await commit("progress-fast", ONE, 3, 1)
    await commit("progress-slow", ONE, 0, 1)
    assert await behind() == {
        ("progress-slow", ONE, 0): 1,
        ("progress-slow", ONE, 3): 1,
        ("progress-slow", OTHER, 1): 1,
    }
    for topic, partition, offset in ((ONE, 0, 2), (ONE, 3, 1), (OTHER, 1, 1)):
        await commit("progress-slow", topic, partition, offset)
    moved = await asyncio.to_thread(wait_until_moved, kafka_server.address, time.monotonic(), 30.0, CONSUMERS)
    assert moved.seconds is not None
    assert (moved.behind, moved.last) == ({}, {})


def test_where_no_broker_answers_nothing_has_moved() -> None:
    (port,) = free_ports(1)
    moved = wait_until_moved(f"127.0.0.1:{port}", time.monotonic() - 1, 0.0, CONSUMERS)
    assert (moved.seconds, moved.behind) == (None, {})
