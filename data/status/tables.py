"""The status service's tables."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from data.kit.tables import created_at, ident, messaging, metadata, moment, number, tree, word

METADATA = metadata()
messaging(METADATA)

ORDERS = Table(
    "orders",
    METADATA,
    ident(primary_key=True),
    word("status", nullable=True),
    word("held_from", nullable=True),
    word("owner_id", nullable=True),
    Column("partner", Boolean, nullable=False, server_default=text("false")),
    word("priority", nullable=True),
    tree("quote", nullable=True),
    number("entries", server_default="0"),
    number("revision", server_default="0"),
    Column("submitted", ARRAY(UUID(as_uuid=True)), nullable=False, server_default=text("'{}'::uuid[]")),
    tree("seen", server_default=text("'{}'::jsonb")),
    created_at(),
)
"""``status`` is null while only later events have come; the rest is :class:`data.orders.projection.State`'s."""
Index("ix_orders_owner", ORDERS.c.owner_id, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
Index("ix_orders_status", ORDERS.c.status, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())

HISTORY = Table(
    "history",
    METADATA,
    Column("order_id", UUID(as_uuid=True), ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True),
    number("n", primary_key=True, autoincrement=False),
    word("status"),
    moment("at"),
    word("by"),
    ident("event_id"),
)
