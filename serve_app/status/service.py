"""What owners do with the status of their orders: read it, and follow its changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

from data.contracts.lifecycle import FINAL
from data.kit.database import Database
from data.notifications.pubsub import POLL_INTERVAL_S, Listener
from data.status import repository
from serve_app.kit import sse
from serve_app.kit.batch_loader import BatchLoader
from serve_app.kit.order_schemas import HistoryLine
from serve_app.kit.principal import Principal
from serve_app.kit.problems import not_found
from serve_app.kit.sse import KeepAlive

OrderLoader = BatchLoader[UUID, repository.OrderJson]


def order_loader(database: Database) -> OrderLoader:
    """Return a loader of orders as JSON."""

    async def load(order_ids: Sequence[UUID]) -> Mapping[UUID, repository.OrderJson]:
        async with database.connection() as connection:
            return await repository.orders_as_json(connection, order_ids)

    return BatchLoader(load)


async def get_json(orders: OrderLoader, order_id: UUID, principal: Principal) -> str:
    """Return an order of the caller as JSON; raises a 404."""
    order = await orders.load(order_id)
    if order is None or not principal.owns(order.owner_id):
        raise not_found("order")
    return order.text


async def is_finished(database: Database, order_id: UUID, principal: Principal, after: int) -> bool:
    """Return whether the caller's order is final and has no event after number ``after``; raises a 404."""
    async with database.connection() as connection:
        order = await repository.get(connection, order_id)
        if order is None or not principal.owns(order.owner_id):
            raise not_found("order")
        finished = order.status in FINAL and after > 0
        return finished and not await repository.history(connection, order_id, after)


async def stream(database: Database, listener: Listener, order_id: UUID, after: int) -> AsyncIterator[bytes | None]:
    """Yield the history after number ``after`` as events, until the order is final; None when a comment is due."""
    with listener.subscribe(str(order_id)) as subscription:
        keep_alive = KeepAlive(subscription)
        while True:
            async with database.connection() as connection:
                rows = await repository.history(connection, order_id, after)
            for row in rows:
                after = row.n
                yield sse.event(row.n, "status", HistoryLine(status=row.status, at=row.at, by=row.by))
                if row.status in FINAL:
                    return
            if await keep_alive.wait(POLL_INTERVAL_S if listener.connected else POLL_INTERVAL_S / 4):
                yield None
