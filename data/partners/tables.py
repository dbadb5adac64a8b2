"""Tables of the partner service."""

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

from data.kit.tables import (
    created_at_column,
    integer_column,
    jsonb_column,
    messaging,
    metadata,
    text_column,
    timestamp_column,
    uuid_column,
    version_column,
)

METADATA = metadata()
messaging(METADATA)


def _of(table: str) -> ForeignKey:
    return ForeignKey(f"{table}.id", ondelete="CASCADE")


PARTNERS = Table(
    "partners",
    METADATA,
    uuid_column(primary_key=True),
    text_column("name", unique=True),
    version_column(),
    created_at_column(),
)
KEYS = Table(
    "api_keys",
    METADATA,
    uuid_column(primary_key=True),
    Column("partner_id", UUID(as_uuid=True), _of("partners"), nullable=False, index=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    text_column("hint"),
    timestamp_column("revoked_at", nullable=True),
    created_at_column(),
)
"""``hint``: the first characters of the key, by which a person recognises it."""
ORDERS = Table(
    "orders",
    METADATA,
    uuid_column(primary_key=True),
    Column("partner_id", UUID(as_uuid=True), _of("partners")),
    jsonb_column("state", server_default=text("'{}'::jsonb")),
    created_at_column(),
)
"""All orders: their events arrive on several topics, and the one with the owner may arrive last. ``partner_id`` is null
while the owner is unknown, and for orders without a partner; ``state`` is :class:`data.orders.projection.OrderState`.
"""
Index("ix_orders_partner", ORDERS.c.partner_id, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
WEBHOOKS = Table(
    "webhooks",
    METADATA,
    uuid_column(primary_key=True),
    Column("partner_id", UUID(as_uuid=True), _of("partners"), nullable=False, index=True),
    text_column("url"),
    text_column("secret"),
    Column("types", ARRAY(Text)),
    Column("active", Boolean, nullable=False),
    version_column(),
    created_at_column(),
)
"""``types``: the subscribed event types, null for all."""
DELIVERIES = Table(
    "deliveries",
    METADATA,
    uuid_column(primary_key=True),
    Column("place", BigInteger, Identity(always=True), nullable=False),
    Column("webhook_id", UUID(as_uuid=True), _of("webhooks"), nullable=False),
    uuid_column("order_id"),
    uuid_column("event_id"),
    text_column("type"),
    text_column("body"),
    text_column("state"),
    integer_column("attempts", server_default="0"),
    integer_column("replayed_after", server_default="0"),
    timestamp_column("next_attempt_at", nullable=True),
    timestamp_column("ended_at", nullable=True),
    created_at_column(),
    UniqueConstraint("webhook_id", "event_id"),
)
"""``place``: deliveries of an order are sent in this sequence, whatever the differences between clocks.
``next_attempt_at`` is set only while the delivery is pending. ``replayed_after``: how many of the attempts were made
before the partner requested a replay; the limit of attempts counts from there.
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
    integer_column("n", primary_key=True, autoincrement=False),
    timestamp_column("at"),
    integer_column("answer", nullable=True),
    text_column("error", nullable=True),
    integer_column("took_ms"),
)
"""``answer``: the HTTP status, null without a response."""
