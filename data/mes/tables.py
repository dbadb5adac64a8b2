"""The MES's tables."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit.tables import created_at, ident, messaging, metadata, moment, number, version, word

METADATA = metadata()
messaging(METADATA)

TASKS = Table(
    "tasks",
    METADATA,
    ident(primary_key=True),
    word("status"),
    word("held_from", nullable=True),
    word("process"),
    word("material"),
    word("finish", nullable=True),
    number("quantity"),
    word("priority"),
    word("unit"),
    word("model_sha256"),
    word("claimed_by", nullable=True),
    moment("claimed_at", nullable=True),
    word("tracking", nullable=True),
    word("reason", nullable=True),
    number("revision"),
    version(),
    created_at(),
)
"""A task has the id of its order."""
Index("ix_tasks_newest", TASKS.c.created_at.desc(), TASKS.c.id.desc())
Index("ix_tasks_status", TASKS.c.status, TASKS.c.created_at.desc(), TASKS.c.id.desc())
Index(
    "ix_tasks_operator",
    TASKS.c.claimed_by,
    TASKS.c.created_at.desc(),
    TASKS.c.id.desc(),
    postgresql_where=TASKS.c.claimed_by.is_not(None),
)

WITHDRAWN = Table(
    "withdrawn",
    METADATA,
    Column("order_id", UUID(as_uuid=True), primary_key=True),
    moment("at"),
)
"""Orders that were cancelled before the MES heard that they were approved."""
