"""The relay: events are published in order and none is lost, with concurrent relays and kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from uuid import UUID

import psycopg
import pytest

from data.kit import outbox
from data.kit import relay as relay_module
from data.kit.database import Database
from data.kit.ids import new_id
from data.kit.relay import Relay
from tests.support.databases import cancelled, read_topic, sequences, while_running
from tests.support.waiting import until


async def fill(database: Database, topic: str, subjects: list[UUID], each: int) -> None:
    """Write ``each`` events for every subject, by concurrent writers."""

    async def write(subject: UUID) -> None:
        for _ in range(each):
            async with database.transaction() as connection:
                await outbox.append(connection, cancelled(topic, subject))

    await asyncio.gather(*(write(subject) for subject in subjects))


async def is_empty(database: Database) -> bool:
    async with database.connection() as connection:
        return await (await connection.execute("SELECT 1 FROM outbox LIMIT 1")).fetchone() is None


async def test_events_arrive_in_order_while_writers_write(shop_url: str, bootstrap: str, topic: str) -> None:
    subjects = [new_id() for _ in range(20)]

    async with Database(shop_url) as database:
        relay = Relay(database, bootstrap, "shop", batch_size=50)

        async def work() -> None:
            await fill(database, topic, subjects, 20)
            await until(lambda: is_empty(database))

        await while_running(relay.run(), work=work())
    assert relay.published == 400
    messages = await read_topic(bootstrap, topic)
    assert sequences(messages) == {str(subject): list(range(1, 21)) for subject in subjects}
    assert all((message.key or b"").decode() == json.loads(message.value or b"")["subject"] for message in messages)


async def test_of_several_relays_each_event_is_published_once(shop_url: str, bootstrap: str, topic: str) -> None:
    subjects = [new_id() for _ in range(10)]

    async with Database(shop_url) as database, Database(shop_url) as other:
        relays = [Relay(each, bootstrap, "shop", batch_size=7) for each in (database, other, database)]

        async def work() -> None:
            await fill(database, topic, subjects, 20)
            await until(lambda: is_empty(database))

        await while_running(*(relay.run() for relay in relays), work=work())
    assert sum(relay.published for relay in relays) == 200
    assert sequences(await read_topic(bootstrap, topic)) == {str(subject): list(range(1, 21)) for subject in subjects}


async def test_a_relay_killed_in_a_batch_loses_nothing(shop_url: str, bootstrap: str, topic: str) -> None:
    subjects = [new_id() for _ in range(10)]
    command = [sys.executable, "-m", "tests.integration.data.relay_process", shop_url, bootstrap]

    async with Database(shop_url) as database:
        await fill(database, topic, subjects, 50)
        kills = 0
        while not await is_empty(database):
            process = await asyncio.create_subprocess_exec(
                *command, "dies" if kills < 3 else "lives", stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            if kills < 3:  # it prints this when it has published a batch and not committed it
                assert await process.stdout.readline() == b"published\n"
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            else:
                await until(lambda: is_empty(database))
                process.terminate()
            await process.wait()
        assert kills == 3
    messages = await read_topic(bootstrap, topic)
    ids = [json.loads(message.value or b"")["id"] for message in messages]
    assert len(set(ids)) == 500
    assert len(ids) > 500, "no batch was published twice, so none was killed between publishing and committing"
    for published in sequences(messages).values():
        first = list(dict.fromkeys(published))
        assert first == list(range(1, 51)), "by first appearance every subject keeps its order"


async def test_a_relay_reconnects_after_its_session_is_terminated(shop_url: str, bootstrap: str, topic: str) -> None:
    subjects = [new_id() for _ in range(5)]

    async with Database(shop_url) as database, Database(shop_url, name="terminated") as relays:

        async def work() -> None:
            for _ in range(5):
                await fill(database, topic, subjects, 10)
                with psycopg.connect(shop_url, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'terminated'"
                    )
            await until(lambda: is_empty(database))

        await while_running(Relay(relays, bootstrap, "shop", batch_size=10).run(), work=work())
    for published in sequences(await read_topic(bootstrap, topic)).values():
        assert list(dict.fromkeys(published)) == list(range(1, 51))


async def test_a_commit_wakes_a_sleeping_relay(
    shop_url: str, bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "SLEEP_POLL_INTERVAL_S", 3600.0)
    subject = new_id()

    async with Database(shop_url) as database:
        relay = Relay(database, bootstrap, "shop")

        async def work() -> None:
            for _ in range(3):
                await fill(database, topic, [subject], 1)
                await until(lambda: is_empty(database))
                await asyncio.sleep(5 * relay_module.BUSY_POLL_INTERVAL_S)  # it has polled again, and sleeps

        await while_running(relay.run(), work=work())
        result = relay.published
    assert result == 3
