"""The tables of who may sign in."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from data.kit.tables import created_at, ident, messaging, metadata, version, word

METADATA = metadata()
messaging(METADATA)

USERS = Table(
    "users",
    METADATA,
    ident(primary_key=True),
    word("username", unique=True),
    word("password"),
    Column("roles", ARRAY(Text), nullable=False),
    Column("active", Boolean, nullable=False),
    version(),
    created_at(),
)
"""``username`` in lower case; ``password`` is its argon2 hash."""
CLIENTS = Table(
    "clients",
    METADATA,
    word("client_id", primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("active", Boolean, nullable=False),
    created_at(),
)
"""Services; ``secret`` is its SHA-256."""
