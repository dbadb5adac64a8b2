"""Tables of the status service."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, text
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
)

METADATA = metadata()
messaging(METADATA)

ORDERS = Table(
    "orders",
    METADATA,
    uuid_column(primary_key=True),
    text_column("status", nullable=True),
    text_column("held_from", nullable=True),
    text_column("owner_id", nullable=True),
    Column("partner", Boolean, nullable=False, server_default=text("false")),
    text_column("priority", nullable=True),
    jsonb_column("quote", nullable=True),
    integer_column("entries", server_default="0"),
    integer_column("revision", server_default="0"),
    Column("submitted", ARRAY(UUID(as_uuid=True)), nullable=False, server_default=text("'{}'::uuid[]")),
    jsonb_column("seen", server_default=text("'{}'::jsonb")),
    created_at_column(),
)
"""``status`` is null until the order's first event arrives; see :class:`data.orders.projection.OrderState`."""
Index("ix_orders_owner", ORDERS.c.owner_id, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
Index("ix_orders_status", ORDERS.c.status, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())

HISTORY = Table(
    "history",
    METADATA,
    Column("order_id", UUID(as_uuid=True), ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True),
    integer_column("n", primary_key=True, autoincrement=False),
    text_column("status"),
    timestamp_column("at"),
    text_column("by"),
    uuid_column("event_id"),
)
