"""Steps of sellers and operators write the status and the event, whose revision is that of the order, together."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from data.contracts.crm import OrderApproved
from data.contracts.lifecycle import OrderStatus
from data.contracts.shop import OrderSubmitted
from data.crm import repository as crm_orders
from data.kit.database import Connection, Database
from data.mes import repository as tasks
from serve_app.crm import service as crm
from serve_app.kit.order_steps import StepRequest
from serve_app.kit.principal import Principal, Role
from serve_app.mes import service as mes
from tests.support import event_examples as examples

Migrated = Callable[[str], str]
SELLER = Principal("sally", frozenset({Role.SELLER}))
OPERATOR = Principal("olaf", frozenset({Role.OPERATOR}))


async def events(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and the data of every event in the outbox."""
    rows = await (await connection.execute("SELECT value FROM outbox ORDER BY id")).fetchall()
    messages = [json.loads(value) for (value,) in rows]
    return [(message["type"].split(".")[1], message["data"]) for message in messages]


async def test_steps_of_sellers(migrated: Migrated) -> None:
    submitted = next(each for each in examples.EVENTS if isinstance(each, OrderSubmitted))

    async with Database(migrated("crm")) as database, database.transaction() as connection:
        assert await crm_orders.open_order(connection, submitted)
        step = StepRequest(submitted.order_id, SELLER)
        cancelled = await crm.cancel(connection, step, "too small")
        assert cancelled.status is OrderStatus.CANCELLED
        ((name, data),) = await events(connection)
        assert (name, data["by"], data["reason"]) == ("OrderWithdrawn", "sally", "too small")
        assert (data["order_id"], data["revision"]) == (str(submitted.order_id), cancelled.revision)
        stored = await crm_orders.get(connection, submitted.order_id)
        assert stored is not None
        assert (stored.status, stored.version, stored.revision) == (
            OrderStatus.CANCELLED, cancelled.version, cancelled.revision,
        )  # fmt: skip


async def test_steps_of_operators(migrated: Migrated) -> None:
    approved = next(each for each in examples.EVENTS if isinstance(each, OrderApproved))

    async with Database(migrated("mes")) as database, database.transaction() as connection:
        assert await tasks.receive(connection, approved)
        step = StepRequest(approved.order_id, OPERATOR)
        claimed = await mes.claim(connection, step)
        assert (claimed.claimed_by, claimed.status) == ("olaf", OrderStatus.MANUFACTURING_STARTED)
        await mes.hold(connection, step, "no gold")
        await mes.resume(connection, step)
        await mes.complete(connection, step)
        await mes.package(connection, step)
        shipped = await mes.ship(connection, step, "TRACK1")
        assert (shipped.status, shipped.tracking) == (OrderStatus.SHIPPED, "TRACK1")
        found = await events(connection)
        assert found[-1][1]["revision"] == shipped.revision
    assert [name for name, _ in found] == [
        "ProductionStarted", "ProductionHeld", "ProductionResumed", "ProductionCompleted", "ProductionPackaged",
        "ProductionShipped",
    ]  # fmt: skip
    revisions = [data["revision"] for _, data in found]
    assert revisions == list(range(revisions[0], revisions[0] + 6))
    assert found[1][1]["held_from"] == found[2][1]["held_from"] == "MANUFACTURING_STARTED"
    assert {UUID(data["order_id"]) for _, data in found} == {approved.order_id}
