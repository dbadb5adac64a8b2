"""Tables of the shop."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit import timers
from data.kit.tables import (
    created_at_column,
    integer_column,
    jsonb_column,
    messaging,
    metadata,
    money_column,
    text_column,
    timestamp_column,
    uuid_column,
    version_column,
)

METADATA = metadata()
messaging(METADATA)
timers.table(METADATA)

PRODUCTS = Table(
    "products",
    METADATA,
    uuid_column(primary_key=True),
    text_column("sku", unique=True),
    text_column("name"),
    text_column("category"),
    text_column("description"),
    text_column("process"),
    text_column("material"),
    money_column("price"),
    text_column("currency"),
    Column("in_stock", Boolean, nullable=False),
    text_column("model_sha256", nullable=True),
    version_column(),
    created_at_column(),
)
Index("ix_products_newest", PRODUCTS.c.created_at.desc(), PRODUCTS.c.id.desc())
Index("ix_products_category", PRODUCTS.c.category, PRODUCTS.c.created_at.desc(), PRODUCTS.c.id.desc())
Index(
    "ix_products_in_stock",
    PRODUCTS.c.category,
    PRODUCTS.c.created_at.desc(),
    PRODUCTS.c.id.desc(),
    postgresql_where=PRODUCTS.c.in_stock,
)

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
    Column("product_id", UUID(as_uuid=True)),
    text_column("unit", nullable=True),
    text_column("model_sha256", nullable=True),
    Column("quote_id", UUID(as_uuid=True)),
    jsonb_column("quote", nullable=True),
    timestamp_column("submitted_at", nullable=True),
    Column("waiting_since_ms", BigInteger),
    integer_column("revision", server_default="1"),
    version_column(),
    created_at_column(),
)
Index("ix_orders_owner", ORDERS.c.owner_id, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
"""``waiting_since_ms``: the operating time of the timer for overdue prices when the order was submitted."""
Index("ix_orders_waiting", ORDERS.c.waiting_since_ms, postgresql_where=ORDERS.c.status == "SUBMITTED")

HISTORY = Table(
    "order_history",
    METADATA,
    Column("order_id", UUID(as_uuid=True), ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True),
    integer_column("n", primary_key=True, autoincrement=False),
    text_column("status"),
    timestamp_column("at"),
    text_column("by"),
)
