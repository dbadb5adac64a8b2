"""Steps of orders: the new state, its history row where a service has one, and the event, in one statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, TypeVar
from uuid import UUID

from data.contracts.envelope import EventData
from data.contracts.lifecycle import Step
from data.kit.database import Connection
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import not_found


class OrderRow(Protocol):
    """A row of an order, in any service."""

    @property
    def id(self) -> UUID:
        """Id of the order."""

    @property
    def revision(self) -> int:
        """Number of the order's changes; events of steps carry it."""


RowT = TypeVar("RowT", bound=OrderRow)
EventOf = Callable[[RowT, "StepFields"], EventData]
"""Returns the event of a step, from the order after the step and the fields that events of steps share."""


class StepFields(TypedDict):
    """The fields of every event of a step."""

    order_id: UUID
    by: str
    revision: int


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A caller's request for a step. ``expected_version``: from If-Match, None for any."""

    order_id: UUID
    principal: Principal
    expected_version: int | None = None


async def lock_order(
    connection: Connection,
    lock: Callable[[Connection, UUID, int | None], Awaitable[RowT | None]],
    request: StepRequest,
    visible: Callable[[RowT], bool] = lambda _: True,
) -> RowT:
    """Return the locked order; raises a 404 if there is none that is ``visible`` to the caller, StaleVersion."""
    order = await lock(connection, request.order_id, request.expected_version)
    if order is None or not visible(order):
        raise not_found("order")
    return order


async def take_step(
    connection: Connection,
    move: Callable[..., Awaitable[RowT]],
    order: RowT,
    step: Step,
    principal: Principal,
    roles: tuple[Role, ...],
    event_of: EventOf[RowT],
    **changes: Any,
) -> RowT:
    """Take a step with a locked order in the first of ``roles`` that the caller has; raises IllegalStep.

    ``move``: that of the service's repository; ``changes``: other columns that change with the step.
    """

    def event(after: RowT) -> EventData:
        return event_of(after, StepFields(order_id=order.id, by=principal.id, revision=after.revision))

    return await move(connection, order, step, actor=principal.acting_as(*roles), make_event=event, **changes)
