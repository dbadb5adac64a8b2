"""Tables of the MES."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table
from sqlalchemy.dialects.postgresql import UUID

from data.kit.tables import (
    created_at_column,
    integer_column,
    messaging,
    metadata,
    text_column,
    timestamp_column,
    uuid_column,
    version_column,
)

METADATA = metadata()
messaging(METADATA)

TASKS = Table(
    "tasks",
    METADATA,
    uuid_column(primary_key=True),
    text_column("status"),
    text_column("held_from", nullable=True),
    text_column("process"),
    text_column("material"),
    text_column("finish", nullable=True),
    integer_column("quantity"),
    text_column("priority"),
    text_column("unit"),
    text_column("model_sha256"),
    text_column("claimed_by", nullable=True),
    timestamp_column("claimed_at", nullable=True),
    text_column("tracking", nullable=True),
    text_column("reason", nullable=True),
    integer_column("revision"),
    version_column(),
    created_at_column(),
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
    timestamp_column("at"),
)
"""Orders that were cancelled before the MES received their approval."""
