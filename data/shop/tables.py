"""The shop's tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit import timers
from data.kit.tables import created_at, ident, messaging, metadata, moment, money, number, tree, version, word

METADATA = metadata()
messaging(METADATA)
timers.table(METADATA)

PRODUCTS = Table(
    "products",
    METADATA,
    ident(primary_key=True),
    word("sku", unique=True),
    word("name"),
    word("category"),
    word("description"),
    word("process"),
    word("material"),
    money("price"),
    word("currency"),
    Column("in_stock", Boolean, nullable=False),
    word("model_sha256", nullable=True),
    version(),
    created_at(),
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
    Column("product_id", UUID(as_uuid=True)),
    word("unit", nullable=True),
    word("model_sha256", nullable=True),
    Column("quote_id", UUID(as_uuid=True)),
    tree("quote", nullable=True),
    moment("submitted_at", nullable=True),
    Column("waiting_since_ms", BigInteger),
    number("revision", server_default="1"),
    version(),
    created_at(),
)
Index("ix_orders_owner", ORDERS.c.owner_id, ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
"""``waiting_since_ms``: the operating time of the timer for overdue prices when the order was submitted."""
Index("ix_orders_waiting", ORDERS.c.waiting_since_ms, postgresql_where=ORDERS.c.status == "SUBMITTED")

HISTORY = Table(
    "order_history",
    METADATA,
    Column("order_id", UUID(as_uuid=True), ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True),
    number("n", primary_key=True, autoincrement=False),
    word("status"),
    moment("at"),
    word("by"),
)
