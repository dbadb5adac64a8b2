"""Tables of the identity service."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from data.kit.tables import created_at_column, messaging, metadata, text_column, uuid_column, version_column

METADATA = metadata()
messaging(METADATA)

USERS = Table(
    "users",
    METADATA,
    uuid_column(primary_key=True),
    text_column("username", unique=True),
    text_column("password"),
    Column("roles", ARRAY(Text), nullable=False),
    Column("active", Boolean, nullable=False),
    version_column(),
    created_at_column(),
)
"""``username`` in lower case; ``password`` is its argon2 hash."""
CLIENTS = Table(
    "clients",
    METADATA,
    text_column("client_id", primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("active", Boolean, nullable=False),
    created_at_column(),
)
"""Services; ``secret`` is its SHA-256."""
