"""Tables of pricing."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Table
from sqlalchemy.dialects.postgresql import UUID

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
)

METADATA = metadata()
messaging(METADATA)

QUOTES = Table(
    "quotes",
    METADATA,
    uuid_column(primary_key=True),
    Column("order_id", UUID(as_uuid=True)),
    text_column("owner_id"),
    text_column("status"),
    text_column("priority"),
    text_column("process"),
    text_column("material"),
    text_column("finish", nullable=True),
    integer_column("quantity"),
    text_column("unit"),
    text_column("model_sha256"),
    Column("progress", Double, nullable=False, server_default="0"),
    money_column("interval_low", nullable=True),
    money_column("interval_high", nullable=True),
    text_column("currency", nullable=True),
    text_column("content_id", nullable=True),
    jsonb_column("result", nullable=True),
    text_column("error", nullable=True),
    timestamp_column("expires_at", nullable=True),
    timestamp_column("started_at", nullable=True),
    timestamp_column("finished_at", nullable=True),
    created_at_column(),
)
Index("ix_quotes_owner", QUOTES.c.owner_id, QUOTES.c.created_at.desc(), QUOTES.c.id.desc())
Index("ix_quotes_order", QUOTES.c.order_id, postgresql_where=QUOTES.c.order_id.is_not(None))
Index("ix_quotes_model", QUOTES.c.owner_id, QUOTES.c.model_sha256)
Index("ix_quotes_unfinished", QUOTES.c.priority, QUOTES.c.created_at, postgresql_where=QUOTES.c.finished_at.is_(None))
