"""Consumers: each event is applied once, poison goes to the dead letters, temporary faults are retried."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.shop import OrderCancelled
from data.contracts.topics import dead_letters
from data.kit import dead_letters as letters
from data.kit import inbox, kafka
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.orders.sequencing import PredecessorMissing
from tests.support.databases import cancelled, read_topic, while_running
from tests.support.event_examples import message_bytes
from tests.support.noted_events import has_noted, note, noted, publish
from tests.support.waiting import until


@pytest.fixture
async def name(bootstrap: str) -> str:
    """Return the name of a consumer for one test, with its dead-letter topic."""
    chosen = f"test-{new_id().hex}"
    await kafka.ensure_topics(bootstrap, [dead_letters(chosen)], partitions=1)
    return chosen


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.lists(st.integers(1, 7), min_size=1))
async def test_the_inbox_records_each_event_once(shop_url: str, arrivals: list[int], batches: list[int]) -> None:
    ids = [new_id() for _ in range(10)]

    taken: list[UUID] = []
    left, sizes = list(arrivals), iter(batches * 40)

    async def batch(some: list[int]) -> None:
        async with database.transaction() as connection:
            taken.extend((await inbox.record(connection, "t", [ids[n] for n in some])).new)

    async with Database(shop_url) as database:
        cut = []
        while left:
            size = next(sizes)
            cut.append(left[:size])
            left = left[size:]
        await asyncio.gather(*map(batch, cut))
        async with database.connection() as connection:
            await connection.execute("DELETE FROM inbox")
    result = taken
    assert sorted(result) == sorted({ids[n] for n in arrivals})


async def test_duplicates_and_repeats_have_one_effect(shop_url: str, bootstrap: str, topic: str, name: str) -> None:
    messages = [
        (str(subject), message_bytes(cancelled(topic, subject), sequence))
        for subject in [new_id() for _ in range(10)]
        for sequence in range(1, 11)
    ]
    again = [*messages, *random.sample(messages, 60), *messages]

    async with Database(shop_url) as database:
        consumers = [Consumer(name, note, database, bootstrap, [topic]) for _ in range(2)]

        async def work() -> None:
            await publish(bootstrap, topic, again)
            await until(lambda: sum(each.applied for each in consumers) >= len(messages))
            await publish(bootstrap, topic, messages[:10])
            await asyncio.sleep(1)

        await while_running(*(each.run() for each in consumers), work=work())
        assert sum(each.applied for each in consumers) == len(messages)
    received = noted(shop_url)
    assert len(received) == len(set(received)) == len(messages)
    for subject in {subject for subject, _ in received}:
        assert [sequence for of, sequence in received if of == subject] == list(range(1, 11))


class Unlucky(Exception):
    """An error of the handler."""


async def test_refused_messages_go_to_the_dead_letters_and_are_replayed_on_request(
    shop_url: str, bootstrap: str, topic: str, name: str
) -> None:
    order, unlucky = new_id(), new_id()
    good = [message_bytes(cancelled(topic, order), sequence) for sequence in range(1, 6)]
    no_data = json.dumps(
        json.loads(good[0]) | {"id": str(new_id()), "subject": "c", "data": {"order_id": "no"}}
    ).encode()
    refused = message_bytes(cancelled(topic, unlucky, "unlucky"), 1)
    behind = message_bytes(cancelled(topic, unlucky), 2)
    messages = [
        (str(order), good[0]), ("a", b"\xff not json"), (str(order), good[1]), ("b", b"{}"), (str(order), good[2]),
        ("c", no_data), (str(unlucky), refused), (str(unlucky), behind), *((str(order), value) for value in good[3:]),
    ]  # fmt: skip
    poison = [b"\xff not json", b"{}", no_data, refused]
    repaired = False

    async def handler(connection: Connection, event: CloudEvent, data: EventData) -> None:
        await note(connection, event, data)
        assert isinstance(data, OrderCancelled)
        if data.reason == "unlucky" and not repaired:
            raise Unlucky("no luck today")

    async with Database(shop_url) as database:
        consumer = Consumer(name, handler, database, bootstrap, [topic])
        other = Consumer(f"{name}-other", note, database, bootstrap, [topic])
        await kafka.ensure_topics(bootstrap, [dead_letters(other.name)])

        async def work() -> None:
            nonlocal repaired
            await publish(bootstrap, topic, messages)
            await until(lambda: consumer.applied == 5 and consumer.dead_lettered == 4 and consumer.parked == 1)
            assert [sequence for _, sequence in noted(shop_url)] == [1, 2, 3, 4, 5]
            assert await letters.count_pending(bootstrap, [name]) == {name: 4}
            letters_found = [each async for each in letters.replay(bootstrap, name, dry_run=True)]
            assert sorted(each.reason.partition(":")[0] for each in letters_found) == [
                "Unlucky", "ValidationError", "ValidationError", "ValidationError",
            ]  # fmt: skip
            assert sorted(each.value or b"" for each in letters_found) == sorted(poison)
            assert await letters.count_pending(bootstrap, [name]) == {name: 4}, "a dry run leaves all as it was"
            repaired = True
            assert len([each async for each in letters.replay(bootstrap, name)]) == 4
            await until(lambda: consumer.applied == 7 and consumer.dead_lettered == 7)
            assert [(subject, sequence) for subject, sequence in noted(shop_url) if subject == str(unlucky)] == [
                (str(unlucky), 1), (str(unlucky), 2),
            ]  # fmt: skip
            assert await letters.count_pending(bootstrap, [name]) == {name: 3}, "what is still poison waits again"

        await while_running(consumer.run(), work=work())
    assert len(await read_topic(bootstrap, topic)) == len(messages) + 4


async def test_an_early_event_is_parked_with_its_successors_and_the_partition_continues(
    shop_url: str, bootstrap: str, topic: str, name: str
) -> None:
    early, free = new_id(), new_id()
    arrived = False

    async def handler(connection: Connection, event: CloudEvent, data: EventData) -> None:
        if event.subject == str(early) and not arrived:
            raise PredecessorMissing("its predecessor is in another topic")
        await note(connection, event, data)

    async with Database(shop_url) as database:
        consumer = Consumer(name, handler, database, bootstrap, [topic], check_interval_s=0.2)

        async def work() -> None:
            nonlocal arrived
            await publish(bootstrap, topic, [(str(early), message_bytes(cancelled(topic, early), n)) for n in (1, 2)])
            await until(lambda: consumer.parked == 2)
            message = message_bytes(cancelled(topic, free), 1)  # the same in every partition
            await publish(bootstrap, topic, [(str(new_id()), message) for _ in range(30)])
            await until(lambda: consumer.applied == 1)
            await until(lambda: consumer.unreachable == 2)  # every possible predecessor has been read
            assert noted(shop_url) == [(str(free), 1)]
            arrived = True
            await publish(bootstrap, topic, [(str(early), message_bytes(cancelled(topic, early), 3))])
            await until(lambda: consumer.parked == 3)
            await until(lambda: consumer.applied == 4)  # the check retries all events of the order

        await while_running(consumer.run(), work=work())
        assert consumer.dead_lettered == 0
    assert noted(shop_url) == [(str(free), 1), (str(early), 1), (str(early), 2), (str(early), 3)]


async def test_a_lost_database_connection_is_retried(shop_url: str, bootstrap: str, topic: str, name: str) -> None:
    order = new_id()
    times = 0

    async def handler(connection: Connection, event: CloudEvent, data: EventData) -> None:
        nonlocal times
        times += 1
        if times < 4:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await note(connection, event, data)

    async with Database(shop_url) as database:
        consumer = Consumer(name, handler, database, bootstrap, [topic])

        async def work() -> None:
            await publish(
                bootstrap, topic, [(str(order), message_bytes(cancelled(topic, order), n)) for n in (1, 2, 3)]
            )
            await until(lambda: consumer.applied == 3)

        await while_running(consumer.run(), work=work())
        assert consumer.dead_lettered == 0
    assert noted(shop_url) == [(str(order), 1), (str(order), 2), (str(order), 3)]


async def test_a_consumer_killed_anywhere_loses_and_repeats_nothing(
    shop_url: str, bootstrap: str, topic: str, name: str
) -> None:
    subjects = [new_id() for _ in range(10)]
    messages = [
        (str(subject), message_bytes(cancelled(topic, subject), sequence))
        for sequence in range(1, 31)
        for subject in subjects
    ]
    command = [sys.executable, "-m", "tests.integration.data.consumer_process", name, shop_url, bootstrap, topic]

    await publish(bootstrap, topic, messages)
    for kill in range(5):
        before = len(noted(shop_url))
        process = await asyncio.create_subprocess_exec(*command)
        goal = len(messages) if kill == 4 else min(len(messages), before + 30)
        await until(partial(has_noted, shop_url, goal))
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    received = noted(shop_url)
    assert len(received) == len(set(received)) == len(messages)
    for subject in map(str, subjects):
        assert [sequence for of, sequence in received if of == subject] == list(range(1, 31))
