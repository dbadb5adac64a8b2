"""The partners' tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from data.kit.tables import created_at, ident, messaging, metadata, moment, number, tree, version, word

METADATA = metadata()
messaging(METADATA)


def _of(table: str) -> ForeignKey:
    return ForeignKey(f"{table}.id", ondelete="CASCADE")


PARTNERS = Table("partners", METADATA, ident(primary_key=True), word("name", unique=True), version(), created_at())
KEYS = Table(
    "api_keys",
    METADATA,
    ident(primary_key=True),
    Column("partner_id", UUID(as_uuid=True), _of("partners"), nullable=False, index=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    word("hint"),
    moment("revoked_at", nullable=True),
    created_at(),
)
"""``hint``: the first letters of the key, by which a person knows which one it is."""
ORDERS = Table(
    "orders",
    METADATA,
    ident(primary_key=True),
    Column("partner_id", UUID(as_uuid=True), _of("partners")),
    tree("state", server_default=text("'{}'::jsonb")),
    created_at(),
)
"""Orders of everybody, for their events come on several topics, and the one that says whose an order is may come last.
``partner_id`` is null while that is not known, and where it is no partner's; ``state`` is
:class:`data.orders.projection.State`.
"""
Index("ix_orders_partner", ORDERS.c.partner_id, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
WEBHOOKS = Table(
    "webhooks",
    METADATA,
    ident(primary_key=True),
    Column("partner_id", UUID(as_uuid=True), _of("partners"), nullable=False, index=True),
    word("url"),
    word("secret"),
    Column("types", ARRAY(Text)),
    Column("active", Boolean, nullable=False),
    version(),
    created_at(),
)
"""``types``: the events that it wants, null for all."""
DELIVERIES = Table(
    "deliveries",
    METADATA,
    ident(primary_key=True),
    Column("place", BigInteger, Identity(always=True), nullable=False),
    Column("webhook_id", UUID(as_uuid=True), _of("webhooks"), nullable=False),
    ident("order_id"),
    ident("event_id"),
    word("type"),
    word("body"),
    word("state"),
    number("attempts", server_default="0"),
    number("replayed_after", server_default="0"),
    moment("next_attempt_at", nullable=True),
    moment("ended_at", nullable=True),
    created_at(),
    UniqueConstraint("webhook_id", "event_id"),
)
"""``place``: those of an order are sent in this order, which no difference between clocks can turn round.
``next_attempt_at`` is set while it is to be sent, and only then. ``replayed_after``: how many of the attempts were made
before the partner asked for it once more; patience counts from there.
"""
Index("ix_deliveries_newest", DELIVERIES.c.webhook_id, DELIVERIES.c.created_at.desc(), DELIVERIES.c.id.desc())
Index(
    "ix_deliveries_due",
    DELIVERIES.c.webhook_id,
    DELIVERIES.c.next_attempt_at,
    postgresql_where=DELIVERIES.c.next_attempt_at.is_not(None),
)
Index(
    "ix_deliveries_order",
    DELIVERIES.c.webhook_id,
    DELIVERIES.c.order_id,
    DELIVERIES.c.place,
    postgresql_where=DELIVERIES.c.next_attempt_at.is_not(None),
)
ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("delivery_id", UUID(as_uuid=True), _of("deliveries"), primary_key=True),
    number("n", primary_key=True, autoincrement=False),
    moment("at"),
    number("answer", nullable=True),
    word("error", nullable=True),
    number("took_ms"),
)
"""``answer``: the HTTP status, null where none came."""
