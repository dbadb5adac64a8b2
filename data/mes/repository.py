"""All SQL of the MES. A claim locks the task and finds it unclaimed: of any number of racers one wins."""

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
from data.kit.errors import NotThere, StaleVersion
from data.mes.tables import TASKS, WITHDRAWN


class Task(sql.Row):
    """An order as operators see it. ``reason``: why it rests, or is to be made again."""

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


_TOLD = ("id", "status", "process", "material", "finish", "quantity", "priority", "unit", "model_sha256", "revision")
_CHANGED = ("status", "held_from", "claimed_by", "claimed_at", "tracking", "reason", "revision")
_mine = TASKS.c.id == bindparam("task_id", type_=Uuid)
# Approval and cancellation travel on different topics: whichever transaction is second sees what the first one did.
_ALONE = sql.Statement(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), 0))))
_RECEIVE = sql.Statement(sql.insert_into(TASKS, *_TOLD).on_conflict_do_nothing().returning(TASKS.c.id))
_IS_WITHDRAWN = sql.Statement(
    select(WITHDRAWN.c.order_id).where(WITHDRAWN.c.order_id == bindparam("order_id", type_=Uuid))
)
_WITHDRAW = sql.Statement(sql.insert_into(WITHDRAWN).on_conflict_do_nothing())
_GET = sql.Statement(select(TASKS).where(_mine))
_LOCK = sql.Statement(select(TASKS).where(_mine).with_for_update())
_save = (
    update(TASKS)
    .where(_mine)
    .values({"version": TASKS.c.version + 1, **{name: bindparam(name, type_=TASKS.c[name].type) for name in _CHANGED}})
)
_SAVE = sql.Statement(_save)
_SAVE_AND_TELL = outbox.telling(_save)
SHOWN = (
    "status", "process", "material", "finish", "quantity", "priority", "unit", "model_sha256", "claimed_by",
    "claimed_at", "tracking", "reason", "created_at",
)  # fmt: skip
_text = sql.json_text(order_id=TASKS.c.id, **{name: TASKS.c[name] for name in SHOWN})
_ALL = paging.select_page(TASKS, text=_text)
_WITH_STATUS = paging.select_page(TASKS, TASKS.c.status == bindparam("status"), text=_text)
_OF_OPERATOR = paging.select_page(TASKS, TASKS.c.claimed_by == bindparam("operator", type_=Text))


async def receive(connection: Connection, told: OrderApproved) -> bool:
    """An approved order comes onto the board; False where it was cancelled before, or is there already."""
    await sql.run(connection, _ALONE, {"name": str(told.order_id)})
    if await sql.value(connection, _IS_WITHDRAWN, {"order_id": told.order_id}) is not None:
        return False
    given = {name: getattr(told, name) for name in _TOLD if name not in ("id", "status")}
    row = {**given, "id": told.order_id, "status": OrderStatus.MANUFACTURING_APPROVED, "revision": told.revision or 0}
    return await sql.value(connection, _RECEIVE, row) is not None


async def withdraw(connection: Connection, ident: UUID, told: int | None = None) -> Task | None:
    """The order was cancelled: its task ends, and one that comes later never begins; gives the task that ended."""
    await sql.run(connection, _ALONE, {"name": str(ident)})
    await sql.run(connection, _WITHDRAW, {"order_id": ident, "at": clock.now()})
    task = await lock(connection, ident)
    if task is None or Step.CANCEL not in legal_steps(task.status):
        return None
    return await move(connection, task, Step.CANCEL, told=told)


async def claim(
    connection: Connection, ident: UUID, operator: str, tell: Callable[[Task], EventData] | None = None
) -> Task:
    """The task is this operator's; raises IllegalStep where somebody else has it or it can't be claimed, NotThere.

    ``tell`` as in :func:`move`.
    """
    task = await lock(connection, ident)
    if task is None:
        raise NotThere("there is no such order on the board")
    if task.claimed_by is not None:
        raise IllegalStep(task.status, Step.CLAIM, legal_steps(task.status, Actor.OPERATOR))
    return await move(
        connection, task, Step.CLAIM, Actor.OPERATOR, tell=tell, claimed_by=operator, claimed_at=clock.now()
    )


async def get(connection: Connection, ident: UUID) -> Task | None:
    """A task."""
    return await sql.one(connection, _GET, {"task_id": ident}, Task)


async def lock(connection: Connection, ident: UUID, version: int | None = None) -> Task | None:
    """A task that nobody else changes before the transaction ends.

    Raises StaleVersion where the caller saw another ``version``.
    """
    task = await sql.one(connection, _LOCK, {"task_id": ident}, Task)
    if task is not None and version is not None and task.version != version:
        raise StaleVersion(task.version)
    return task


async def move(
    connection: Connection,
    task: Task,
    step: Step,
    actor: Actor | None = None,
    told: int | None = None,
    tell: Callable[[Task], EventData] | None = None,
    **changes: Any,
) -> Task:
    """Take a step with a task that :func:`lock` gave; what is to be made again is nobody's.

    ``actor`` as in :func:`data.contracts.lifecycle.move`; ``told``: the revision of the event that tells the step;
    ``tell``: makes the event of the step, written in the same statement. Raises IllegalStep.
    """
    status, held_from = lifecycle.move(task.status, task.held_from, step, actor)
    nobodys = {"claimed_by": None, "claimed_at": None} if step is Step.REWORK else {}
    moved = task.model_copy(
        update={
            **changes,
            **nobodys,
            "status": status,
            "held_from": held_from,
            "version": task.version + 1,
            "revision": max(task.revision + 1, told or 0),
        }
    )
    kept = {"task_id": task.id, **{name: getattr(moved, name) for name in _CHANGED}}
    if tell is None:
        await sql.run(connection, _SAVE, kept)
    else:
        await sql.run(connection, _SAVE_AND_TELL, {**kept, **outbox.parameters(tell(moved))})
    return moved


async def board(
    connection: Connection, status: OrderStatus | None, place: paging.Position, limit: int
) -> list[paging.JsonRow]:
    """Tasks, of one status or of all, newest first: a page and one row more."""
    given = paging.parameters(place, limit)
    if status is None:
        return await paging.json_rows(connection, _ALL, given)
    return await paging.json_rows(connection, _WITH_STATUS, {"status": status, **given})


async def of_operator(connection: Connection, operator: str, place: paging.Position, limit: int) -> list[Task]:
    """Tasks that an operator has claimed, newest first: a page and one row more."""
    return await sql.many(connection, _OF_OPERATOR, {"operator": operator, **paging.parameters(place, limit)}, Task)
