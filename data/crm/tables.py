"""Tables of the CRM."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit import timers
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
timers.table(METADATA)

ORDERS = Table(
    "orders",
    METADATA,
    uuid_column(primary_key=True),
    text_column("owner_id"),
    Column("partner", Boolean, nullable=False),
    text_column("status"),
    text_column("held_from", nullable=True),
    text_column("process"),
    text_column("material"),
    text_column("finish", nullable=True),
    integer_column("quantity"),
    text_column("priority"),
    text_column("unit"),
    text_column("model_sha256"),
    Column("quote_id", UUID(as_uuid=True)),
    jsonb_column("quote", nullable=True),
    jsonb_column("reasons", nullable=True),
    timestamp_column("expires_at", nullable=True),
    Column("expires_after_ms", BigInteger),
    text_column("note", nullable=True),
    integer_column("revision"),
    version_column(),
    created_at_column(),
)
"""``expires_at`` and ``expires_after_ms``, in wall-clock and in operating time, are the timer of the quote: set while
a decision is awaited, and only then. It expires when both have passed.
"""
Index("ix_orders_newest", ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
Index("ix_orders_status", ORDERS.c.status, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
Index("ix_orders_expiring", ORDERS.c.expires_at, postgresql_where=ORDERS.c.expires_at.is_not(None))
