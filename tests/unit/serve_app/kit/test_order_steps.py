"""Steps of orders without a database: what is locked and refused, and what the repository's ``move`` receives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

import pytest

from data.contracts.crm import OrderClosed
from data.contracts.envelope import EventData
from data.contracts.lifecycle import Actor, Step
from data.kit.database import Connection
from serve_app.kit.order_steps import StepFields, StepRequest, lock_order, take_step
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import Problem

CONNECTION = cast("Connection", object())
ORDER = UUID(int=7)
SALLY = Principal("sally", frozenset({Role.SELLER, Role.OPERATOR}))


@dataclass(frozen=True)
class Row:
    """A row of an order."""

    id: UUID = ORDER
    revision: int = 4


class Repository:
    """A table of one row, and the arguments of its calls."""

    def __init__(self, row: Row | None) -> None:
        self.row = row
        self.calls: list[tuple[object, ...]] = []
        self.events: list[EventData] = []

    async def lock(self, connection: Connection, order_id: UUID, expected_version: int | None) -> Row | None:
        self.calls.append((connection, order_id, expected_version))
        return self.row

    async def move(self, connection: Connection, order: Row, step: Step, **options: Any) -> Row:
        make_event = options.pop("make_event")
        self.calls.append((connection, order, step, options))
        moved = replace(order, revision=order.revision + 1)
        self.events.append(make_event(moved))
        return moved


@pytest.mark.parametrize("expected_version", [None, 3])
async def test_the_requested_order_is_locked(expected_version: int | None) -> None:
    repository = Repository(Row())
    request = StepRequest(ORDER, SALLY, expected_version)
    assert await lock_order(CONNECTION, repository.lock, request) is repository.row
    assert await lock_order(CONNECTION, repository.lock, request, lambda row: row == Row()) is repository.row
    assert repository.calls == [(CONNECTION, ORDER, expected_version)] * 2


@pytest.mark.parametrize("row", [None, Row()])
async def test_a_missing_order_and_one_that_is_not_visible_are_the_same_problem(row: Row | None) -> None:
    with pytest.raises(Problem) as caught:
        await lock_order(CONNECTION, Repository(row).lock, StepRequest(ORDER, SALLY), lambda found: found != Row())
    assert (caught.value.status, caught.value.code) == (404, "not-found")
    assert caught.value.detail == "there is no such order, or it is not yours"


async def test_a_step_is_taken_with_its_event_and_other_columns() -> None:
    repository = Repository(Row())
    order = Row()

    def closed(after: Row, fields: StepFields) -> EventData:
        assert after == Row(revision=5)
        assert fields == {"order_id": order.id, "by": "sally", "revision": 5}
        return OrderClosed(**fields)

    moved = await take_step(
        CONNECTION, repository.move, order, Step.CLOSE, SALLY, (Role.ADMIN, Role.SELLER), closed, note="paid"
    )
    assert moved == Row(revision=5)
    ((connection, before, step, options),) = repository.calls
    assert connection is CONNECTION
    assert before is order
    assert step is Step.CLOSE
    assert options == {"actor": Actor.SELLER, "note": "paid"}
    assert repository.events == [OrderClosed(order_id=order.id, by="sally", revision=5)]


async def test_the_actor_is_the_first_role_that_the_caller_has() -> None:
    repository = Repository(Row())
    for roles in ((Role.OPERATOR, Role.SELLER), (Role.SELLER, Role.OPERATOR), (Role.CUSTOMER,)):
        await take_step(
            CONNECTION, repository.move, Row(), Step.HOLD, SALLY, roles, lambda _, fields: OrderClosed(**fields)
        )
    assert [cast("dict[str, Any]", call[3])["actor"] for call in repository.calls] == [
        Actor.OPERATOR, Actor.SELLER, Actor.ADMIN,
    ]  # fmt: skip
