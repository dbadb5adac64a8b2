"""SQL of the MES. A claim locks a task and finds it without an operator: of concurrent claims one succeeds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, func, select, update

from data.contracts import lifecycle
from data.contracts.common import Priority
from data.contracts.crm import OrderApproved
from data.contracts.envelope import EventData
from data.contracts.lifecycle import Actor, IllegalStep, OrderStatus, Step, legal_steps
from data.kit import clock, outbox, paging, sql
from data.kit.database import Connection
from data.kit.errors import NotFound, StaleVersion
from data.mes.tables import TASKS, WITHDRAWN


class MesTaskRow(sql.Row):
    """An order in production. ``reason``: of its hold or rework."""

    id: UUID
    status: OrderStatus
    held_from: OrderStatus | None
    process: str
    material: str
    finish: str | None
    quantity: int
    priority: Priority
    unit: str
    model_sha256: str
    claimed_by: str | None
    claimed_at: datetime | None
    tracking: str | None
    reason: str | None
    revision: int
    version: int
    created_at: datetime


_EVENT_COLUMNS = (
    "id",
    "status",
    "process",
    "material",
    "finish",
    "quantity",
    "priority",
    "unit",
    "model_sha256",
    "revision",
)
_CHANGED_COLUMNS = ("status", "held_from", "claimed_by", "claimed_at", "tracking", "reason", "revision")
_by_id = TASKS.c.id == bindparam("task_id", type_=Uuid)
# Approval and cancellation are on different topics: the second transaction waits, and sees the first one's effect.
_LOCK_NAME = sql.Statement(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), 0))))
_INSERT = sql.Statement(sql.insert_into(TASKS, *_EVENT_COLUMNS).on_conflict_do_nothing().returning(TASKS.c.id))
_IS_WITHDRAWN = sql.Statement(
    select(WITHDRAWN.c.order_id).where(WITHDRAWN.c.order_id == bindparam("order_id", type_=Uuid))
)
_WITHDRAW = sql.Statement(sql.insert_into(WITHDRAWN).on_conflict_do_nothing())
_GET = sql.Statement(select(TASKS).where(_by_id))
_LOCK = sql.Statement(select(TASKS).where(_by_id).with_for_update())
_save = (
    update(TASKS)
    .where(_by_id)
    .values(
        {
            "version": TASKS.c.version + 1,
            **{name: bindparam(name, type_=TASKS.c[name].type) for name in _CHANGED_COLUMNS},
        }
    )
)
_SAVE = sql.Statement(_save)
_SAVE_WITH_EVENT = outbox.with_event(_save)
_JSON_COLUMNS = (
    "status", "process", "material", "finish", "quantity", "priority", "unit", "model_sha256", "claimed_by",
    "claimed_at", "tracking", "reason", "created_at",
)  # fmt: skip
_text = sql.json_text(order_id=TASKS.c.id, **{name: TASKS.c[name] for name in _JSON_COLUMNS})
_ALL = paging.select_page(TASKS, text=_text)
_WITH_STATUS = paging.select_page(TASKS, TASKS.c.status == bindparam("status"), text=_text)
_OF_OPERATOR = paging.select_page(TASKS, TASKS.c.claimed_by == bindparam("operator", type_=Text))


async def receive(connection: Connection, event: OrderApproved) -> bool:
    """Insert the task of an approved order; return False if the order was cancelled before, or has a task."""
    await sql.run(connection, _LOCK_NAME, {"name": str(event.order_id)})
    if await sql.value(connection, _IS_WITHDRAWN, {"order_id": event.order_id}) is not None:
        return False
    columns = {name: getattr(event, name) for name in _EVENT_COLUMNS if name not in ("id", "status")}
    status, revision = OrderStatus.MANUFACTURING_APPROVED, event.revision or 0
    row = {**columns, "id": event.order_id, "status": status, "revision": revision}
    return await sql.value(connection, _INSERT, row) is not None


async def withdraw(connection: Connection, order_id: UUID, event_revision: int | None = None) -> MesTaskRow | None:
    """Cancel the task of a cancelled order, and prevent a later one; return the task if it was cancelled."""
    await sql.run(connection, _LOCK_NAME, {"name": str(order_id)})
    await sql.run(connection, _WITHDRAW, {"order_id": order_id, "at": clock.now()})
    task = await lock(connection, order_id)
    if task is None or Step.CANCEL not in legal_steps(task.status):
        return None
    return await move(connection, task, Step.CANCEL, event_revision=event_revision)


async def claim(
    connection: Connection,
    order_id: UUID,
    operator: str,
    make_event: Callable[[MesTaskRow], EventData] | None = None,
) -> MesTaskRow:
    """Assign the task to an operator; raises NotFound, and IllegalStep if it is claimed or can't be claimed.

    ``make_event`` as in :func:`move`.
    """
    task = await lock(connection, order_id)
    if task is None:
        raise NotFound("there is no such order on the board")
    if task.claimed_by is not None:
        raise IllegalStep(task.status, Step.CLAIM, legal_steps(task.status, Actor.OPERATOR))
    claimed: dict[str, Any] = {"claimed_by": operator, "claimed_at": clock.now()}
    return await move(connection, task, Step.CLAIM, Actor.OPERATOR, make_event=make_event, **claimed)


async def get(connection: Connection, order_id: UUID) -> MesTaskRow | None:
    """Return a task."""
    return await sql.one(connection, _GET, {"task_id": order_id}, MesTaskRow)


async def lock(connection: Connection, order_id: UUID, version: int | None = None) -> MesTaskRow | None:
    """Return a task, locked until the end of the transaction.

    Raises StaleVersion if its version is not ``version``.
    """
    task = await sql.one(connection, _LOCK, {"task_id": order_id}, MesTaskRow)
    if task is not None and version is not None and task.version != version:
        raise StaleVersion(task.version)
    return task


async def move(
    connection: Connection,
    task: MesTaskRow,
    step: Step,
    actor: Actor | None = None,
    event_revision: int | None = None,
    make_event: Callable[[MesTaskRow], EventData] | None = None,
    **changes: Any,
) -> MesTaskRow:
    """Take a step with a task from :func:`lock`; rework clears the operator.

    ``actor`` as in :func:`data.contracts.lifecycle.move`; ``event_revision``: the revision of the event that reports
    the step; ``make_event``: returns the event to publish for it. Raises IllegalStep.
    """
    status, held_from = lifecycle.move(task.status, task.held_from, step, actor)
    unclaimed = {"claimed_by": None, "claimed_at": None} if step is Step.REWORK else {}
    moved = task.model_copy(
        update={
            **changes,
            **unclaimed,
            "status": status,
            "held_from": held_from,
            "version": task.version + 1,
            "revision": max(task.revision + 1, event_revision or 0),
        }
    )
    parameters = {"task_id": task.id, **{name: getattr(moved, name) for name in _CHANGED_COLUMNS}}
    if make_event is None:
        await sql.run(connection, _SAVE, parameters)
    else:
        await sql.run(connection, _SAVE_WITH_EVENT, {**parameters, **outbox.parameters(make_event(moved))})
    return moved


async def board(
    connection: Connection, status: OrderStatus | None, position: paging.Position, limit: int
) -> list[paging.JsonRow]:
    """Return a page of tasks and one more row, of one status or of all, newest first."""
    parameters = paging.parameters(position, limit)
    if status is None:
        return await paging.json_rows(connection, _ALL, parameters)
    return await paging.json_rows(connection, _WITH_STATUS, {"status": status, **parameters})


async def of_operator(connection: Connection, operator: str, position: paging.Position, limit: int) -> list[MesTaskRow]:
    """Return a page of an operator's tasks and one more row, newest first."""
    return await sql.many(
        connection, _OF_OPERATOR, {"operator": operator, **paging.parameters(position, limit)}, MesTaskRow
    )
