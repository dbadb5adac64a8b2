"""The board: of any number of operators one gets a task; what was cancelled never comes onto it."""

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
from data.kit.settings import Settings
from data.mes import repository
from tests.integration.data.running import run
from tests.unit.data.examples import SHA, SUMMARY, WISH

S = OrderStatus


def approved(ident: UUID, revision: int = 5) -> OrderApproved:
    whose = {"order_id": ident, "by": "seller", "owner_id": "me"}
    return OrderApproved(**whose, revision=revision, model_sha256=SHA, unit="mm", quote=SUMMARY, **WISH)


async def received(database: Database, count: int) -> list[UUID]:
    """Tasks on the board."""
    idents = [new_id() for _ in range(count)]
    async with database.transaction() as connection:
        for ident in idents:
            assert await repository.receive(connection, approved(ident))
    return idents


def test_two_operators_race_for_a_thousand_tasks_and_each_has_one_owner(migrated: Callable[[str], str]) -> None:
    async def main() -> None:
        async with Database(migrated("mes"), Settings(database_pool=20)) as database:
            idents = await received(database, 1000)
            won: Counter[str] = Counter()
            owners: dict[UUID, str] = {}

            async def claim_all(operator: str) -> None:
                turns = random.Random(operator).sample(idents, len(idents))
                waiting = asyncio.Semaphore(8)

                async def claim(ident: UUID) -> None:
                    try:
                        async with waiting, database.transaction() as connection:
                            await repository.claim(connection, ident, operator)
                    except IllegalStep:
                        return
                    won[operator] += 1
                    assert owners.setdefault(ident, operator) == operator

                await asyncio.gather(*map(claim, turns))

            await asyncio.gather(claim_all("ann"), claim_all("bob"))
            assert won.total() == 1000
            assert min(won["ann"], won["bob"]) > 0, "they did not race"
            async with database.connection() as connection:
                for ident, operator in owners.items():
                    task = await repository.get(connection, ident)
                    assert task is not None
                    assert (task.claimed_by, task.status, task.revision) == (operator, S.MANUFACTURING_STARTED, 6)

    run(main())


def test_a_claim_that_fails_says_why(migrated: Callable[[str], str]) -> None:
    async def main() -> None:
        async with Database(migrated("mes")) as database:
            (ident,) = await received(database, 1)
            async with database.connection() as connection:
                await repository.claim(connection, ident, "ann")
                with pytest.raises(IllegalStep, match="MANUFACTURING_STARTED can't take the step claim"):
                    await repository.claim(connection, ident, "ann")
                with pytest.raises(NotFound):
                    await repository.claim(connection, new_id(), "ann")

    run(main())


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_a_cancelled_order_leaves_the_board_or_never_comes_onto_it(
    migrated: Callable[[str], str], cancelled_first: bool
) -> None:
    ident = new_id()

    async def main() -> None:
        async with Database(migrated("mes")) as database, database.transaction() as connection:
            if cancelled_first:
                assert await repository.withdraw(connection, ident) is None
                assert not await repository.receive(connection, approved(ident))
            else:
                assert await repository.receive(connection, approved(ident))
                assert (await repository.withdraw(connection, ident)).status is S.CANCELLED  # type: ignore[union-attr]
            assert await repository.board(connection, S.MANUFACTURING_APPROVED, START, 10) == []

    run(main())


def test_approval_and_cancellation_at_once_leave_no_task(migrated: Callable[[str], str]) -> None:
    async def main() -> None:
        async with Database(migrated("mes")) as database:

            async def receive(ident: UUID) -> None:
                async with database.transaction() as connection:
                    await repository.receive(connection, approved(ident))

            async def withdraw(ident: UUID) -> None:
                async with database.transaction() as connection:
                    await repository.withdraw(connection, ident)

            idents = [new_id() for _ in range(100)]
            both = [(receive, ident) for ident in idents] + [(withdraw, ident) for ident in idents]
            random.shuffle(both)
            await asyncio.gather(*(work(ident) for work, ident in both))
            async with database.connection() as connection:
                assert await repository.board(connection, S.MANUFACTURING_APPROVED, START, 10) == []

    run(main())


def test_what_is_made_again_is_nobodys_and_a_hold_remembers(migrated: Callable[[str], str]) -> None:
    async def main() -> None:
        async with Database(migrated("mes")) as database:
            (ident,) = await received(database, 1)
            async with database.transaction() as connection:
                await repository.claim(connection, ident, "ann")
                task = await repository.lock(connection, ident)
                assert task is not None
                task = await repository.move(connection, task, Step.COMPLETE, Actor.OPERATOR)
                task = await repository.move(connection, task, Step.HOLD, Actor.OPERATOR, reason="no gold")
                assert (task.status, task.held_from) == (S.ON_HOLD, S.MANUFACTURING_COMPLETED)
                task = await repository.move(connection, task, Step.RESUME, Actor.OPERATOR)
                assert (task.status, task.held_from) == (S.MANUFACTURING_COMPLETED, None)
                await repository.move(connection, task, Step.REWORK, Actor.OPERATOR, reason="porous")
            async with database.transaction() as connection:
                again = await repository.claim(connection, ident, "bob")
                assert (again.claimed_by, again.reason, again.version) == ("bob", "porous", 7)
                mine = await repository.of_operator(connection, "bob", START, 10)
                assert [each.id for each in mine] == [ident]

    run(main())
