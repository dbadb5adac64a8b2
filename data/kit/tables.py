"""Columns that many tables share, and the tables by which every service sends and receives events."""

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

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata() -> MetaData:
    """An empty collection of tables with our names for constraints."""
    return MetaData(naming_convention=NAMES)


def uuid_column(name: str = "id", **rest: Any) -> Column[Any]:
    """A UUID that must be there; ``primary_key=True`` where it is."""
    return Column(name, UUID(as_uuid=True), nullable=False, **rest)


def text_column(name: str, nullable: bool = False, **rest: Any) -> Column[Any]:
    """Text."""
    return Column(name, Text, nullable=nullable, **rest)


def timestamp_column(name: str, nullable: bool = False, **rest: Any) -> Column[Any]:
    """A point in time: timestamptz."""
    return Column(name, DateTime(timezone=True), nullable=nullable, **rest)


def created_at_column() -> Column[Any]:
    """When the row was made, by the database's clock: one clock for all rows of a list."""
    return timestamp_column("created_at", server_default=func.now())


def money_column(name: str, nullable: bool = False) -> Column[Any]:
    """An exact amount with cents; its currency is a column beside it."""
    return Column(name, Numeric(14, 2), nullable=nullable)


def integer_column(name: str, nullable: bool = False, **rest: Any) -> Column[Any]:
    """A whole number."""
    return Column(name, Integer, nullable=nullable, **rest)


def jsonb_column(name: str, nullable: bool = False, **rest: Any) -> Column[Any]:
    """A JSON value."""
    return Column(name, JSONB, nullable=nullable, **rest)


def version_column() -> Column[Any]:
    """Counts the changes of a row that people edit; whoever changes it says which version they saw."""
    return integer_column("version", server_default="1")


@dataclass(frozen=True, slots=True)
class Messaging:
    """The tables behind outbox, inbox, parked events and idempotency in one service's database."""

    outbox: Table
    sequences: Table
    inbox: Table
    parked: Table
    idempotency: Table


def messaging(into: MetaData) -> Messaging:
    """Add the tables to ``into``; version 1 of their DDL is in :mod:`data.kit.messaging_ddl`."""
    outbox = Table(
        "outbox",
        into,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        text_column("topic"),
        text_column("subject"),
        text_column("value"),
    )
    sequences = Table(
        "outbox_sequences",
        into,
        text_column("source", primary_key=True),
        text_column("subject", primary_key=True),
        Column("last", BigInteger, nullable=False),
    )
    inbox = Table(
        "inbox",
        into,
        text_column("consumer", primary_key=True),
        uuid_column("event_id", primary_key=True),
        timestamp_column("received_at", server_default=func.now()),
        Index(None, "received_at", postgresql_using="brin"),
    )
    parked = Table(
        "parked",
        into,
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
        into,
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
