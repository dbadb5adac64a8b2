"""SQL of partners, their API keys, orders and webhooks."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import DateTime, Integer, LargeBinary, Uuid, any_, bindparam, delete, func, or_, select, update

from data.contracts.envelope import CloudEvent
from data.kit import clock, paging, secrets, sql
from data.kit.database import Connection
from data.kit.errors import NotFound, StaleVersion
from data.kit.ids import new_id
from data.orders.projection import HistoryEntry, OrderState, apply_event
from data.partners.tables import KEYS, ORDERS, PARTNERS, WEBHOOKS

KEY_PREFIX, HINT_LENGTH = "facet", 12


class ApiKey(sql.Row):
    """An API key, without the key itself."""

    id: UUID
    partner_id: UUID
    hint: str
    revoked_at: datetime | None
    created_at: datetime


class PartnerOrder(sql.Row):
    """An order of a partner. ``state``: after the events applied so far."""

    id: UUID
    partner_id: UUID
    state: OrderState
    created_at: datetime


class _StoredOrder(sql.Row):
    partner_id: UUID | None
    state: OrderState


class Webhook(sql.Row):
    """A webhook of a partner. ``types``: the subscribed event types, None for all."""

    id: UUID
    partner_id: UUID
    url: str
    secret: str
    types: tuple[str, ...] | None
    active: bool
    version: int
    created_at: datetime


_owner = bindparam("partner_id", type_=Uuid)
_ADD = sql.Statement(sql.insert_into(PARTNERS, "id", "name").on_conflict_do_nothing(index_elements=["name"]))
_BY_NAME = sql.Statement(select(PARTNERS.c.id).where(PARTNERS.c.name == bindparam("name")))
_IS_PARTNER = sql.Statement(select(PARTNERS.c.id).where(PARTNERS.c.id == _owner))
_new_key = sql.insert_into(KEYS, "id", "partner_id", "sha256", "hint")
_ADD_KEY = sql.Statement(_new_key.on_conflict_do_nothing())
_CREATE_KEY = sql.Statement(_new_key.returning(KEYS))
_PARTNER_OF_KEY = sql.Statement(
    select(KEYS.c.partner_id).where(
        KEYS.c.sha256 == bindparam("sha256", type_=LargeBinary), KEYS.c.revoked_at.is_(None)
    )
)
_KEYS = paging.select_page(KEYS, KEYS.c.partner_id == _owner)
_REVOKE = sql.Statement(
    update(KEYS)
    .where(KEYS.c.id == bindparam("key_id", type_=Uuid), KEYS.c.partner_id == _owner, KEYS.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at", type_=DateTime(timezone=True)))
    .returning(KEYS.c.id)
)
_new_order = sql.insert_into(ORDERS, "id", "partner_id")
_ADD_ORDER = sql.Statement(
    _new_order.on_conflict_do_update(
        index_elements=[ORDERS.c.id],
        set_={"partner_id": _new_order.excluded.partner_id},
        where=ORDERS.c.partner_id.is_(None),
    )
)
_PARTNER_OF_ORDER = sql.Statement(select(ORDERS.c.partner_id).where(ORDERS.c.id == bindparam("id", type_=Uuid)))
_new_order_id = sql.insert_into(ORDERS, "id")
# The conflict's update locks the row, whether this event or another was the order's first.
_LOCK_ORDER = sql.Statement(
    _new_order_id.on_conflict_do_update(index_elements=[ORDERS.c.id], set_={"id": _new_order_id.excluded.id}).returning(
        ORDERS.c.partner_id, ORDERS.c.state
    )
)
_SAVE_ORDER = sql.Statement(
    update(ORDERS)
    .where(ORDERS.c.id == bindparam("order_id", type_=Uuid))
    .values(
        partner_id=bindparam("new_partner_id", type_=Uuid),
        state=bindparam("new_state", type_=ORDERS.c.state.type),
    )
)
_ORDERS = paging.select_page(ORDERS, ORDERS.c.partner_id == _owner)
_ADD_WEBHOOK = sql.Statement(
    sql.insert_into(WEBHOOKS, "id", "partner_id", "url", "secret", "types", "active").returning(WEBHOOKS)
)
_WEBHOOK = sql.Statement(
    select(WEBHOOKS).where(WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid), WEBHOOKS.c.partner_id == _owner)
)
_COUNT = sql.Statement(select(func.count()).select_from(WEBHOOKS).where(WEBHOOKS.c.partner_id == _owner))
_WEBHOOKS = sql.Statement(select(WEBHOOKS).where(WEBHOOKS.c.partner_id == _owner).order_by(WEBHOOKS.c.created_at))
_SUBSCRIBED = sql.Statement(
    select(WEBHOOKS).where(
        WEBHOOKS.c.partner_id == _owner,
        WEBHOOKS.c.active,
        or_(WEBHOOKS.c.types.is_(None), bindparam("kind") == any_(WEBHOOKS.c.types)),
    )
)
_EDIT = sql.Statement(
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid), WEBHOOKS.c.version == bindparam("if_version"))
    .values(
        version=WEBHOOKS.c.version + 1,
        **{name: bindparam(f"new_{name}", type_=WEBHOOKS.c[name].type) for name in ("url", "types", "active")},
    )
    .returning(WEBHOOKS)
)
_if_version = bindparam("if_version", type_=Integer)
_DELETE = sql.Statement(
    delete(WEBHOOKS)
    .where(
        WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid),
        WEBHOOKS.c.partner_id == _owner,
        or_(_if_version.is_(None), WEBHOOKS.c.version == _if_version),
    )
    .returning(WEBHOOKS.c.id)
)
_DEACTIVATE = sql.Statement(
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid), WEBHOOKS.c.active)
    .values(active=False, version=WEBHOOKS.c.version + 1)
)


async def add(connection: Connection, name: str) -> UUID:
    """Return the partner with this name, created if there is none."""
    await sql.run(connection, _ADD, {"id": new_id(), "name": name})
    partner: UUID = await sql.value(connection, _BY_NAME, {"name": name})
    return partner


async def add_key(connection: Connection, partner: UUID, key: str | None = None) -> str:
    """Add ``key``, or a new API key, unless it exists; return it, since only its hash is stored."""
    added = key or secrets.new(KEY_PREFIX)
    await sql.run(connection, _ADD_KEY, _key_row(partner, added))
    return added


async def create_key(connection: Connection, partner: UUID) -> tuple[ApiKey, str]:
    """Create an API key; return its row, and the key itself, which is not stored."""
    key = secrets.new(KEY_PREFIX)
    row = await sql.one(connection, _CREATE_KEY, _key_row(partner, key), ApiKey)
    assert row is not None
    return row, key


def _key_row(partner: UUID, key: str) -> dict[str, object]:
    return {"id": new_id(), "partner_id": partner, "sha256": secrets.digest(key), "hint": key[:HINT_LENGTH]}


async def partner_of_key(connection: Connection, key: str) -> UUID | None:
    """Return the partner with this key; None for an unknown or revoked key."""
    found: UUID | None = await sql.value(connection, _PARTNER_OF_KEY, {"sha256": secrets.digest(key)})
    return found


async def keys(connection: Connection, partner: UUID, position: paging.Position, limit: int) -> list[ApiKey]:
    """Return a page of a partner's keys and one more row, with revoked ones, newest first."""
    return await sql.many(connection, _KEYS, {"partner_id": partner, **paging.parameters(position, limit)}, ApiKey)


async def revoke(connection: Connection, partner: UUID, key: UUID) -> bool:
    """Revoke a key; return False if there is no such valid key."""
    parameters = {"key_id": key, "partner_id": partner, "at": clock.now()}
    return await sql.value(connection, _REVOKE, parameters) is not None


async def add_order(connection: Connection, order: UUID, partner: UUID) -> None:
    """Record that an order is a partner's; one that has a partner keeps it."""
    await sql.run(connection, _ADD_ORDER, {"id": order, "partner_id": partner})


async def partner_of_order(connection: Connection, order: UUID) -> UUID | None:
    """Return the partner of an order; None if it has none."""
    found: UUID | None = await sql.value(connection, _PARTNER_OF_ORDER, {"id": order})
    return found


async def apply(connection: Connection, order_id: UUID, event: CloudEvent) -> tuple[UUID | None, HistoryEntry | None]:
    """Apply an event to an order within the caller's transaction; return its partner, and the new history entry.

    For an order without a partner only its status is stored, and no entry is returned. Raises PredecessorMissing.
    """
    stored = await sql.one(connection, _LOCK_ORDER, {"id": order_id}, _StoredOrder)
    assert stored is not None
    if stored.state.status is not None and stored.partner_id is None:
        return None, None
    after, entry = apply_event(stored.state, event)
    if after == stored.state:
        return stored.partner_id, None
    partner = stored.partner_id or await _partner_in(connection, after)
    if after.status is not None and partner is None:
        after, entry = OrderState(status=after.status), None
    columns = {"new_partner_id": partner, "new_state": Jsonb(after.model_dump(mode="json"))}
    await sql.run(connection, _SAVE_ORDER, {"order_id": order_id, **columns})
    return partner, entry


async def _partner_in(connection: Connection, state: OrderState) -> UUID | None:
    """Return the partner who owns the order; None also for an owner with a partner's role who is not registered."""
    with suppress(ValueError):
        if state.partner and state.owner_id:
            found: UUID | None = await sql.value(connection, _IS_PARTNER, {"partner_id": UUID(state.owner_id)})
            return found
    return None


async def orders(connection: Connection, partner: UUID, position: paging.Position, limit: int) -> list[PartnerOrder]:
    """Return a page of a partner's orders and one more row, newest first."""
    return await sql.many(
        connection, _ORDERS, {"partner_id": partner, **paging.parameters(position, limit)}, PartnerOrder
    )


async def add_webhook(
    connection: Connection, partner: UUID, url: str, secret: str, types: list[str] | None = None
) -> Webhook:
    """Add an active webhook."""
    row = {"id": new_id(), "partner_id": partner, "url": url, "secret": secret, "types": types, "active": True}
    created = await sql.one(connection, _ADD_WEBHOOK, row, Webhook)
    assert created is not None
    return created


async def webhook(connection: Connection, partner: UUID, webhook_id: UUID) -> Webhook | None:
    """Return a partner's webhook."""
    return await sql.one(connection, _WEBHOOK, {"webhook_id": webhook_id, "partner_id": partner}, Webhook)


async def webhooks(connection: Connection, partner: UUID) -> list[Webhook]:
    """Return a partner's webhooks, oldest first."""
    return await sql.many(connection, _WEBHOOKS, {"partner_id": partner}, Webhook)


async def count_webhooks(connection: Connection, partner: UUID) -> int:
    """Return the number of a partner's webhooks."""
    count: int = await sql.value(connection, _COUNT, {"partner_id": partner})
    return count


async def subscribed_webhooks(connection: Connection, partner: UUID, kind: str) -> list[Webhook]:
    """Return a partner's active webhooks that subscribe to events of type ``kind``."""
    return await sql.many(connection, _SUBSCRIBED, {"partner_id": partner, "kind": kind}, Webhook)


async def edit_webhook(connection: Connection, edited: Webhook) -> Webhook:
    """Save URL, types and active flag; raises StaleVersion, NotFound."""
    parameters = {
        "webhook_id": edited.id,
        "if_version": edited.version,
        "new_url": edited.url,
        "new_active": edited.active,
    }
    types = None if edited.types is None else list(edited.types)
    saved = await sql.one(connection, _EDIT, {**parameters, "new_types": types}, Webhook)
    if saved is not None:
        return saved
    current = await webhook(connection, edited.partner_id, edited.id)
    if current is None:
        raise NotFound("there is no such webhook")
    raise StaleVersion(current.version)


async def remove_webhook(
    connection: Connection, partner: UUID, webhook_id: UUID, if_version: int | None = None
) -> bool:
    """Delete a webhook with its deliveries; return False if there is none. Raises StaleVersion."""
    parameters = {"webhook_id": webhook_id, "partner_id": partner, "if_version": if_version}
    if await sql.value(connection, _DELETE, parameters) is not None:
        return True
    current = await webhook(connection, partner, webhook_id)
    if current is not None:
        raise StaleVersion(current.version)
    return False


async def deactivate_webhook(connection: Connection, webhook_id: UUID) -> None:
    """Stop deliveries to a webhook until its partner activates it again."""
    await sql.run(connection, _DEACTIVATE, {"webhook_id": webhook_id})
