"""Dead members are removed from their group at once; living ones, and those of other programs, are not.

`test_consumer.py` shows that a successor of a killed process takes over long before the session of the dead one
expires: its consumers have sessions of five minutes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import pytest
from aiokafka.errors import KafkaConnectionError

from data.contracts.topics import dead_letters
from data.kit import group_membership, kafka
from data.kit.consumer import Consumer
from data.kit.database import RETRY_DELAY_S, Database
from data.kit.group_membership import GroupMembership
from data.kit.ids import new_id
from tests.support.databases import cancelled, while_running
from tests.support.event_examples import message_bytes
from tests.support.noted_events import has_noted, note, noted, publish
from tests.support.waiting import until

MEMBERSHIP = "test-membership"


class FakeGroup:
    """A fake consumer group: client ids by member id, and the removed members in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clients: dict[str, str] = {}
        self.removed: list[str] = []
        self.checks = 0
        self.away = False
        monkeypatch.setattr(kafka, "GroupClient", lambda _bootstrap, _group: self)
        monkeypatch.setattr(group_membership, "CHECK_INTERVAL_S", 0.02)
        monkeypatch.setattr(group_membership, "CONFIRM_DELAY_S", 0.02)

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def members(self) -> dict[str, str]:
        self.checks += 1
        if self.away:
            raise KafkaConnectionError("away")
        return dict(self.clients)

    async def remove(self, member_id: str) -> bool:
        if member_id not in self.clients:
            return False
        del self.clients[member_id]
        self.removed.append(member_id)
        return True

    def checked(self, times: int) -> Callable[[], bool]:
        """Return a condition: the group was checked ``times`` more."""
        goal = self.checks + times
        return lambda: self.checks >= goal


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> FakeGroup:
    return FakeGroup(monkeypatch)


async def test_only_dead_members_are_removed(shop_url: str, group: FakeGroup) -> None:
    async with Database(shop_url) as database:
        one, other, gone = (GroupMembership(MEMBERSHIP, database, "") for _ in range(3))
        async with one.member() as first, other.member() as second:
            async with gone.member() as third:
                group.clients = {
                    "1": first, "2": second, "3": third, "4": "aiokafka", "5": MEMBERSHIP,
                    "6": f"{MEMBERSHIP}-operator", "7": "other-group-0000002a",
                }  # fmt: skip
                await until(group.checked(10))
                assert group.removed == []
            await until(lambda: group.removed == ["3"])
            await until(group.checked(10))
        assert group.removed == ["3"]
        assert sorted(group.clients) == ["1", "2", "4", "5", "6", "7"]
        assert [one.removed + other.removed, gone.removed] == [1, 0]


async def test_both_members_of_a_client_that_joined_twice_are_removed(shop_url: str, group: FakeGroup) -> None:
    async with Database(shop_url) as database:
        watching, living = GroupMembership(MEMBERSHIP, database, ""), GroupMembership(MEMBERSHIP, database, "")
        async with watching.member() as first, living.member() as second:
            group.clients = {"1": first, "2": second, "3": "aiokafka", "4": "aiokafka"}
            await until(group.checked(10))
            assert group.removed == []
            group.clients["5"] = second
            await until(lambda: sorted(group.removed) == ["2", "5"])
            group.clients["6"] = second  # it joins again
            await until(group.checked(10))
            assert sorted(group.clients) == ["1", "3", "4", "6"]


async def test_a_member_that_reacquires_its_lock_is_not_removed(
    shop_url: str, group: FakeGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_membership, "CONFIRM_DELAY_S", 30.0)

    async with Database(shop_url) as database:
        watching, living = GroupMembership(MEMBERSHIP, database, ""), GroupMembership(MEMBERSHIP, database, "")
        async with living.member() as client_id:
            key = int(client_id.rpartition("-")[2], 16)
            async with watching.member():
                group.clients = {"living": client_id}
                async with database.connection() as connection:
                    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = %s", [key])
                held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"

                async def taken_again() -> bool:
                    async with database.connection() as connection:
                        row = await (await connection.execute(held, [key])).fetchone()
                        return bool(row and row[0])

                await until(taken_again)
                assert group.removed == []


async def test_a_member_waits_for_a_lock_of_a_former_session(
    shop_url: str, group: FakeGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _below: 41)

    async with Database(shop_url) as database, AsyncExitStack() as former:
        connection = await former.enter_async_context(database.session())
        await connection.execute("SELECT pg_advisory_lock(%s, 42)", [group_membership.LOCK_NAMESPACE])
        membership = GroupMembership(MEMBERSHIP, database, "")

        async def join() -> str:
            async with membership.member() as client_id:
                return client_id

        joining = asyncio.create_task(join())
        await asyncio.sleep(3 * RETRY_DELAY_S)
        assert not joining.done()
        await former.aclose()
        assert await joining == f"{MEMBERSHIP}-0000002a"


async def test_an_unavailable_kafka_is_retried(shop_url: str, group: FakeGroup) -> None:
    async with Database(shop_url) as database:
        gone, watching = GroupMembership(MEMBERSHIP, database, ""), GroupMembership(MEMBERSHIP, database, "")
        async with gone.member() as client_id:
            group.clients = {"gone": client_id}
        group.away = True
        async with watching.member():
            await until(group.checked(3))
            assert group.removed == []
            group.away = False
            await until(lambda: group.removed == ["gone"])
            watching.check()


async def test_members_are_read_and_removed_at_a_real_broker(bootstrap: str, topic: str) -> None:
    name = f"test-{new_id().hex}"
    async with (
        kafka.started(kafka.consumer(bootstrap, name, [topic], "a-client")),
        kafka.started(kafka.GroupClient(bootstrap, name)) as group,
        kafka.started(kafka.GroupClient(bootstrap, "no-such-group")) as missing,
    ):
        ((member, client),) = (await group.members()).items()
        assert client == "a-client"
        assert await group.remove(member)
        assert member not in await group.members()
        assert not await group.remove(member), "it has left already"
        assert await missing.members() == {}


async def test_a_living_member_that_was_removed_joins_again(shop_url: str, bootstrap: str, topic: str) -> None:
    name = f"test-{new_id().hex}"
    order = new_id()

    await kafka.ensure_topics(bootstrap, [dead_letters(name)], partitions=1)
    async with Database(shop_url) as database, kafka.started(kafka.GroupClient(bootstrap, name)) as group:
        consumer = Consumer(name, note, database, bootstrap, [topic])

        async def work() -> None:
            removed: set[str] = set()

            async def joined() -> bool:
                return not removed >= set(await group.members())

            for sequence in range(1, 4):
                await publish(bootstrap, topic, [(str(order), message_bytes(cancelled(topic, order), sequence))])
                await until(partial(has_noted, shop_url, sequence))
                removed = set(await group.members())
                for member in removed:
                    await group.remove(member)
                await until(joined)

        await while_running(consumer.run(), work=work())
    assert [sequence for _, sequence in noted(shop_url)] == [1, 2, 3]
