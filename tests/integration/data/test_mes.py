"""The board: of concurrent operators one gets a task; a cancelled order never has an open one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

from data.contracts.crm import OrderApproved
from data.contracts.lifecycle import Actor, IllegalStep, OrderStatus, Step
from data.kit.database import Database
from data.kit.errors import NotFound
from data.kit.ids import new_id
from data.kit.paging import START
from data.kit.settings import DataSettings
from data.mes import repository
from tests.support.event_examples import ORDER_REQUEST, SHA, SUMMARY

S = OrderStatus


def approved(order_id: UUID, revision: int = 5) -> OrderApproved:
    return OrderApproved(
        order_id=order_id, by="seller", owner_id="me", revision=revision, model_sha256=SHA, unit="mm", quote=SUMMARY,
        **ORDER_REQUEST,
    )  # fmt: skip


async def received(database: Database, count: int) -> list[UUID]:
    """Add tasks to the board; return their ids."""
    order_ids = [new_id() for _ in range(count)]
    async with database.transaction() as connection:
        for order_id in order_ids:
            assert await repository.receive(connection, approved(order_id))
    return order_ids


async def test_two_operators_race_for_a_thousand_tasks_and_each_has_one_owner(migrated: Callable[[str], str]) -> None:
    async with Database(migrated("mes"), DataSettings(database_pool=20)) as database:
        order_ids = await received(database, 1000)
        won: Counter[str] = Counter()
        owners: dict[UUID, str] = {}

        async def claim_all(operator: str) -> None:
            shuffled = random.Random(operator).sample(order_ids, len(order_ids))
            waiting = asyncio.Semaphore(8)

            async def claim(order_id: UUID) -> None:
                try:
                    async with waiting, database.transaction() as connection:
                        await repository.claim(connection, order_id, operator)
                except IllegalStep:
                    return
                won[operator] += 1
                assert owners.setdefault(order_id, operator) == operator

            await asyncio.gather(*map(claim, shuffled))

        await asyncio.gather(claim_all("ann"), claim_all("bob"))
        assert won.total() == 1000
        assert min(won["ann"], won["bob"]) > 0, "they did not race"
        async with database.connection() as connection:
            for order_id, operator in owners.items():
                task = await repository.get(connection, order_id)
                assert task is not None
                assert (task.claimed_by, task.status, task.revision) == (operator, S.MANUFACTURING_STARTED, 6)


async def test_a_failed_claim_raises_the_reason(migrated: Callable[[str], str]) -> None:
    async with Database(migrated("mes")) as database:
        (order_id,) = await received(database, 1)
        async with database.connection() as connection:
            await repository.claim(connection, order_id, "ann")
            with pytest.raises(IllegalStep, match="MANUFACTURING_STARTED can't take the step claim"):
                await repository.claim(connection, order_id, "ann")
            with pytest.raises(NotFound):
                await repository.claim(connection, new_id(), "ann")


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_cancelled_order_has_no_open_task(migrated: Callable[[str], str], cancelled_first: bool) -> None:
    order_id = new_id()

    async with Database(migrated("mes")) as database, database.transaction() as connection:
        if cancelled_first:
            assert await repository.withdraw(connection, order_id) is None
            assert not await repository.receive(connection, approved(order_id))
        else:
            assert await repository.receive(connection, approved(order_id))
            withdrawn = await repository.withdraw(connection, order_id)
            assert withdrawn is not None
            assert withdrawn.status is S.CANCELLED
        assert await repository.board(connection, S.MANUFACTURING_APPROVED, START, 10) == []


async def test_concurrent_approval_and_cancellation_leave_no_open_task(migrated: Callable[[str], str]) -> None:
    async with Database(migrated("mes")) as database:

        async def receive(order_id: UUID) -> None:
            async with database.transaction() as connection:
                await repository.receive(connection, approved(order_id))

        async def withdraw(order_id: UUID) -> None:
            async with database.transaction() as connection:
                await repository.withdraw(connection, order_id)

        order_ids = [new_id() for _ in range(100)]
        both = [(receive, order_id) for order_id in order_ids] + [(withdraw, order_id) for order_id in order_ids]
        random.shuffle(both)
        await asyncio.gather(*(work(order_id) for work, order_id in both))
        async with database.connection() as connection:
            assert await repository.board(connection, S.MANUFACTURING_APPROVED, START, 10) == []


async def test_rework_is_unclaimed_and_a_hold_restores_its_status(migrated: Callable[[str], str]) -> None:
    async with Database(migrated("mes")) as database:
        (order_id,) = await received(database, 1)
        async with database.transaction() as connection:
            await repository.claim(connection, order_id, "ann")
            task = await repository.lock(connection, order_id)
            assert task is not None
            task = await repository.move(connection, task, Step.COMPLETE, Actor.OPERATOR)
            task = await repository.move(connection, task, Step.HOLD, Actor.OPERATOR, reason="no gold")
            assert (task.status, task.held_from) == (S.ON_HOLD, S.MANUFACTURING_COMPLETED)
            task = await repository.move(connection, task, Step.RESUME, Actor.OPERATOR)
            assert (task.status, task.held_from) == (S.MANUFACTURING_COMPLETED, None)
            await repository.move(connection, task, Step.REWORK, Actor.OPERATOR, reason="porous")
        async with database.transaction() as connection:
            again = await repository.claim(connection, order_id, "bob")
            assert (again.claimed_by, again.reason, again.version) == ("bob", "porous", 7)
            mine = await repository.of_operator(connection, "bob", START, 10)
            assert [each.id for each in mine] == [order_id]
