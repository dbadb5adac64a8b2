"""The CRM's tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit import timers
from data.kit.tables import created_at, ident, messaging, metadata, moment, number, tree, version, word

METADATA = metadata()
messaging(METADATA)
timers.table(METADATA)

ORDERS = Table(
    "orders",
    METADATA,
    ident(primary_key=True),
    word("owner_id"),
    Column("partner", Boolean, nullable=False),
    word("status"),
    word("held_from", nullable=True),
    word("process"),
    word("material"),
    word("finish", nullable=True),
    number("quantity"),
    word("priority"),
    word("unit"),
    word("model_sha256"),
    Column("quote_id", UUID(as_uuid=True)),
    tree("quote", nullable=True),
    tree("reasons", nullable=True),
    moment("expires_at", nullable=True),
    Column("expires_after_ms", BigInteger),
    word("note", nullable=True),
    number("revision"),
    version(),
    created_at(),
)
"""``expires_at`` and ``expires_after_ms``, in wall-clock and in operating time, are the timer of the quote: set while
it waits for a decision, and only then. It expires when both have passed.
"""
Index("ix_orders_newest", ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
Index("ix_orders_status", ORDERS.c.status, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
Index("ix_orders_expiring", ORDERS.c.expires_at, postgresql_where=ORDERS.c.expires_at.is_not(None))
