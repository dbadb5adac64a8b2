"""The partners' tables."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from data.kit.tables import created_at, ident, messaging, metadata, moment, number, version, word

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
    Column("partner_id", UUID(as_uuid=True), _of("partners"), nullable=False),
    created_at(),
)
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
    Column("webhook_id", UUID(as_uuid=True), _of("webhooks"), nullable=False),
    ident("order_id"),
    ident("event_id"),
    word("type"),
    word("body"),
    word("state"),
    number("attempts", server_default="0"),
    moment("next_attempt_at", nullable=True),
    moment("ended_at", nullable=True),
    created_at(),
    UniqueConstraint("webhook_id", "event_id"),
)
"""``next_attempt_at`` is set while it is to be sent, and only then."""
Index("ix_deliveries_newest", DELIVERIES.c.webhook_id, DELIVERIES.c.created_at.desc(), DELIVERIES.c.id.desc())
Index("ix_deliveries_due", DELIVERIES.c.next_attempt_at, postgresql_where=DELIVERIES.c.next_attempt_at.is_not(None))
Index(
    "ix_deliveries_order",
    DELIVERIES.c.webhook_id,
    DELIVERIES.c.order_id,
    DELIVERIES.c.id,
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
