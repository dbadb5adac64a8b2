"""Common column types, and the messaging tables that every service's database has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata() -> MetaData:
    """Return an empty collection of tables with the naming convention for constraints."""
    return MetaData(naming_convention=NAMING_CONVENTION)


def uuid_column(name: str = "id", **options: Any) -> Column[Any]:
    """Return a UUID column that is not null; pass ``primary_key=True`` for a primary key."""
    return Column(name, UUID(as_uuid=True), nullable=False, **options)


def text_column(name: str, nullable: bool = False, **options: Any) -> Column[Any]:
    """Return a text column."""
    return Column(name, Text, nullable=nullable, **options)


def timestamp_column(name: str, nullable: bool = False, **options: Any) -> Column[Any]:
    """Return a timestamptz column."""
    return Column(name, DateTime(timezone=True), nullable=nullable, **options)


def created_at_column() -> Column[Any]:
    """Return the column of the row's creation time, by the database's clock: one clock for all rows of a list."""
    return timestamp_column("created_at", server_default=func.now())


def money_column(name: str, nullable: bool = False) -> Column[Any]:
    """Return a column for an exact amount with cents; its currency is a separate column."""
    return Column(name, Numeric(14, 2), nullable=nullable)


def integer_column(name: str, nullable: bool = False, **options: Any) -> Column[Any]:
    """Return an integer column."""
    return Column(name, Integer, nullable=nullable, **options)


def jsonb_column(name: str, nullable: bool = False, **options: Any) -> Column[Any]:
    """Return a jsonb column."""
    return Column(name, JSONB, nullable=nullable, **options)


def version_column() -> Column[Any]:
    """Return the column that counts the changes of an editable row, for optimistic locking."""
    return integer_column("version", server_default="1")


@dataclass(frozen=True, slots=True)
class Messaging:
    """The tables of outbox, inbox, parked events and idempotency keys in one service's database."""

    outbox: Table
    sequences: Table
    inbox: Table
    parked: Table
    idempotency: Table


def messaging(metadata: MetaData) -> Messaging:
    """Add the tables to ``metadata``; their DDL is in :mod:`data.kit.messaging_ddl`."""
    outbox = Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        text_column("topic"),
        text_column("subject"),
        text_column("value"),
    )
    sequences = Table(
        "outbox_sequences",
        metadata,
        text_column("source", primary_key=True),
        text_column("subject", primary_key=True),
        Column("last", BigInteger, nullable=False),
    )
    inbox = Table(
        "inbox",
        metadata,
        text_column("consumer", primary_key=True),
        uuid_column("event_id", primary_key=True),
        timestamp_column("received_at", server_default=func.now()),
        Index(None, "received_at", postgresql_using="brin"),
    )
    parked = Table(
        "parked",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        text_column("consumer"),
        text_column("subject"),
        text_column("topic"),
        integer_column("partition"),
        Column("kafka_offset", BigInteger, nullable=False),
        Column("event_id", UUID(as_uuid=True)),
        Column("sequence", BigInteger),
        Column("value", LargeBinary),
        Column("refused", Boolean, nullable=False),
        timestamp_column("parked_at", server_default=func.now()),
        timestamp_column("unreachable_at", nullable=True),
        Index("ix_parked_subject", "consumer", "subject"),
        Index("uq_parked_event", "consumer", "event_id", unique=True),
    )
    undecided = ~parked.c.refused & parked.c.unreachable_at.is_(None)
    Index("ix_parked_undecided", parked.c.consumer, parked.c.id, postgresql_where=undecided)
    Index("ix_parked_unreachable", parked.c.consumer, postgresql_where=parked.c.unreachable_at.is_not(None))
    idempotency = Table(
        "idempotency_keys",
        metadata,
        text_column("caller", primary_key=True),
        text_column("key", primary_key=True),
        Column("body_sha256", LargeBinary, nullable=False),
        jsonb_column("answer", nullable=True),
        created_at_column(),
        Index(None, "created_at", postgresql_using="brin"),
    )
    return Messaging(outbox, sequences, inbox, parked, idempotency)


SHARED = messaging(metadata())
"""The same tables for statements: they have the same names in every service's database."""
