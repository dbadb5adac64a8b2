"""Pricing's tables."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit.tables import created_at, ident, messaging, metadata, moment, money, number, tree, word

METADATA = metadata()
messaging(METADATA)

QUOTES = Table(
    "quotes",
    METADATA,
    ident(primary_key=True),
    Column("order_id", UUID(as_uuid=True)),
    word("owner_id"),
    word("status"),
    word("priority"),
    word("process"),
    word("material"),
    word("finish", nullable=True),
    number("quantity"),
    word("unit"),
    word("model_sha256"),
    Column("progress", Double, nullable=False, server_default="0"),
    money("interval_low", nullable=True),
    money("interval_high", nullable=True),
    word("currency", nullable=True),
    word("content_id", nullable=True),
    tree("result", nullable=True),
    word("error", nullable=True),
    moment("expires_at", nullable=True),
    moment("started_at", nullable=True),
    moment("finished_at", nullable=True),
    created_at(),
)
Index("ix_quotes_owner", QUOTES.c.owner_id, QUOTES.c.created_at.desc(), QUOTES.c.id.desc())
Index("ix_quotes_order", QUOTES.c.order_id, postgresql_where=QUOTES.c.order_id.is_not(None))
Index("ix_quotes_model", QUOTES.c.owner_id, QUOTES.c.model_sha256)
Index("ix_quotes_unfinished", QUOTES.c.priority, QUOTES.c.created_at, postgresql_where=QUOTES.c.finished_at.is_(None))
