"""All SQL of partners, their API keys, orders and webhooks."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import DateTime, Integer, LargeBinary, Uuid, any_, bindparam, delete, func, or_, select, update

from data.contracts.envelope import CloudEvent
from data.kit import clock, paging, secrets, sql
from data.kit.database import Connection
from data.kit.errors import NotThere, StaleVersion
from data.kit.ids import new_id
from data.orders.projection import HistoryEntry, OrderState, apply_event
from data.partners.tables import KEYS, ORDERS, PARTNERS, WEBHOOKS

KEY_PREFIX, HINT_LENGTH = "facet", 12


class Key(sql.Row):
    """An API key without itself."""

    id: UUID
    partner_id: UUID
    hint: str
    revoked_at: datetime | None
    created_at: datetime


class PartnerOrder(sql.Row):
    """An order of a partner. ``state``: as far as events have told."""

    id: UUID
    partner_id: UUID
    state: OrderState
    created_at: datetime


class _Kept(sql.Row):
    partner_id: UUID | None
    state: OrderState


class Webhook(sql.Row):
    """Where a partner wants to be told. ``types``: of which events, None for all."""

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
_MAKE_KEY = sql.Statement(_new_key.returning(KEYS))
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
_met = sql.insert_into(ORDERS, "id")
# The conflict's update locks the row, whether this event or another was the order's first.
_LOCK_ORDER = sql.Statement(
    _met.on_conflict_do_update(index_elements=[ORDERS.c.id], set_={"id": _met.excluded.id}).returning(
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
_WANTING = sql.Statement(
    select(WEBHOOKS).where(
        WEBHOOKS.c.partner_id == _owner,
        WEBHOOKS.c.active,
        or_(WEBHOOKS.c.types.is_(None), bindparam("kind") == any_(WEBHOOKS.c.types)),
    )
)
_EDIT = sql.Statement(
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid), WEBHOOKS.c.version == bindparam("seen"))
    .values(
        version=WEBHOOKS.c.version + 1,
        **{name: bindparam(f"new_{name}", type_=WEBHOOKS.c[name].type) for name in ("url", "types", "active")},
    )
    .returning(WEBHOOKS)
)
_seen = bindparam("seen", type_=Integer)
_DELETE = sql.Statement(
    delete(WEBHOOKS)
    .where(
        WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid),
        WEBHOOKS.c.partner_id == _owner,
        or_(_seen.is_(None), WEBHOOKS.c.version == _seen),
    )
    .returning(WEBHOOKS.c.id)
)
_DEACTIVATE = sql.Statement(
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == bindparam("webhook_id", type_=Uuid), WEBHOOKS.c.active)
    .values(active=False, version=WEBHOOKS.c.version + 1)
)


async def add(connection: Connection, name: str) -> UUID:
    """The partner of this name, made where there is none."""
    await sql.run(connection, _ADD, {"id": new_id(), "name": name})
    found: UUID = await sql.value(connection, _BY_NAME, {"name": name})
    return found


async def add_key(connection: Connection, partner: UUID, key: str | None = None) -> str:
    """A new API key (or the one given, where it is not known); this is the only time that it is seen."""
    made = key or secrets.new(KEY_PREFIX)
    await sql.run(connection, _ADD_KEY, _key_row(partner, made))
    return made


async def make_key(connection: Connection, partner: UUID) -> tuple[Key, str]:
    """A new API key: what is kept of it, and itself, seen this once."""
    made = secrets.new(KEY_PREFIX)
    kept = await sql.one(connection, _MAKE_KEY, _key_row(partner, made), Key)
    assert kept is not None
    return kept, made


def _key_row(partner: UUID, key: str) -> dict[str, object]:
    return {"id": new_id(), "partner_id": partner, "sha256": secrets.digest(key), "hint": key[:HINT_LENGTH]}


async def partner_of_key(connection: Connection, key: str) -> UUID | None:
    """Whose key it is; None for one that is unknown or was revoked."""
    found: UUID | None = await sql.value(connection, _PARTNER_OF_KEY, {"sha256": secrets.digest(key)})
    return found


async def keys(connection: Connection, partner: UUID, place: paging.Position, limit: int) -> list[Key]:
    """A partner's keys, revoked ones too, newest first: a page and one row more."""
    return await sql.many(connection, _KEYS, {"partner_id": partner, **paging.parameters(place, limit)}, Key)


async def revoke(connection: Connection, partner: UUID, key: UUID) -> bool:
    """A key that opens nothing any more; False where there was none."""
    given = {"key_id": key, "partner_id": partner, "at": clock.now()}
    return await sql.value(connection, _REVOKE, given) is not None


async def add_order(connection: Connection, order: UUID, partner: UUID) -> None:
    """An order is a partner's; one that is known to be somebody's stays so."""
    await sql.run(connection, _ADD_ORDER, {"id": order, "partner_id": partner})


async def partner_of_order(connection: Connection, order: UUID) -> UUID | None:
    """Whose order it is; None where it is no partner's."""
    found: UUID | None = await sql.value(connection, _PARTNER_OF_ORDER, {"id": order})
    return found


async def apply(connection: Connection, ident: UUID, event: CloudEvent) -> tuple[UUID | None, HistoryEntry | None]:
    """Apply an event to an order within the caller's transaction: whose it is, and the new line of its history.

    Of an order that is no partner's, no more is kept than that; it gives no lines. Raises PredecessorMissing.
    """
    kept = await sql.one(connection, _LOCK_ORDER, {"id": ident}, _Kept)
    assert kept is not None
    if kept.state.status is not None and kept.partner_id is None:
        return None, None
    after, entry = apply_event(kept.state, event)
    if after == kept.state:
        return kept.partner_id, None
    partner = kept.partner_id or await _partner_in(connection, after)
    if after.status is not None and partner is None:
        after, entry = OrderState(status=after.status), None
    saved = {"new_partner_id": partner, "new_state": Jsonb(after.model_dump(mode="json"))}
    await sql.run(connection, _SAVE_ORDER, {"order_id": ident, **saved})
    return partner, entry


async def _partner_in(connection: Connection, state: OrderState) -> UUID | None:
    """Which partner owns the order; None also for one whose owner has a partner's role but is none that we know."""
    with suppress(ValueError):
        if state.partner and state.owner_id:
            found: UUID | None = await sql.value(connection, _IS_PARTNER, {"partner_id": UUID(state.owner_id)})
            return found
    return None


async def orders(connection: Connection, partner: UUID, place: paging.Position, limit: int) -> list[PartnerOrder]:
    """A partner's orders, newest first: a page and one row more."""
    return await sql.many(connection, _ORDERS, {"partner_id": partner, **paging.parameters(place, limit)}, PartnerOrder)


async def add_webhook(
    connection: Connection, partner: UUID, url: str, secret: str, types: list[str] | None = None
) -> Webhook:
    """A new webhook, active."""
    row = {"id": new_id(), "partner_id": partner, "url": url, "secret": secret, "types": types, "active": True}
    made = await sql.one(connection, _ADD_WEBHOOK, row, Webhook)
    assert made is not None
    return made


async def webhook(connection: Connection, partner: UUID, ident: UUID) -> Webhook | None:
    """A partner's webhook."""
    return await sql.one(connection, _WEBHOOK, {"webhook_id": ident, "partner_id": partner}, Webhook)


async def webhooks(connection: Connection, partner: UUID) -> list[Webhook]:
    """A partner's webhooks, oldest first."""
    return await sql.many(connection, _WEBHOOKS, {"partner_id": partner}, Webhook)


async def count_webhooks(connection: Connection, partner: UUID) -> int:
    """How many webhooks a partner has."""
    found: int = await sql.value(connection, _COUNT, {"partner_id": partner})
    return found


async def wanting(connection: Connection, partner: UUID, kind: str) -> list[Webhook]:
    """A partner's active webhooks that want events of type ``kind``."""
    return await sql.many(connection, _WANTING, {"partner_id": partner, "kind": kind}, Webhook)


async def edit_webhook(connection: Connection, edited: Webhook) -> Webhook:
    """Save address, types and whether it is active; raises StaleVersion, NotThere."""
    given = {"webhook_id": edited.id, "seen": edited.version, "new_url": edited.url, "new_active": edited.active}
    types = None if edited.types is None else list(edited.types)
    saved = await sql.one(connection, _EDIT, {**given, "new_types": types}, Webhook)
    if saved is not None:
        return saved
    current = await webhook(connection, edited.partner_id, edited.id)
    if current is None:
        raise NotThere("there is no such webhook")
    raise StaleVersion(current.version)


async def remove_webhook(connection: Connection, partner: UUID, ident: UUID, seen: int | None = None) -> bool:
    """Forget a webhook with its deliveries; False where there was none. Raises StaleVersion where ``seen`` is old."""
    given = {"webhook_id": ident, "partner_id": partner, "seen": seen}
    if await sql.value(connection, _DELETE, given) is not None:
        return True
    current = await webhook(connection, partner, ident)
    if current is not None:
        raise StaleVersion(current.version)
    return False


async def deactivate_webhook(connection: Connection, ident: UUID) -> None:
    """Send nothing more to it until its partner makes it active again."""
    await sql.run(connection, _DEACTIVATE, {"webhook_id": ident})
