"""SQLAlchemy Core as the language of statements, psycopg as what runs them.

A statement is compiled once, when its module is imported; its parameters are ``bindparam("name")`` and are given by
name when it runs. Rows become frozen pydantic models, so that statuses, money and moments have their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnClause, ColumnElement, Table, Text, bindparam, cast, func, literal_column
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from data.kit.database import Connection

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
RowT = TypeVar("RowT", bound="Row")


class Row(BaseModel):
    """A row as Python sees it; one field for each column that the statement gives."""

    model_config = ConfigDict(frozen=True)


class Statement:
    """A compiled statement: its text, and the values that were written into it."""

    __slots__ = ("given", "text")

    def __init__(self, expression: ClauseElement) -> None:
        compiled = expression.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        assert isinstance(compiled, SQLCompiler)
        self.text = str(compiled).encode()
        asked = {name for bind, name in compiled.bind_names.items() if bind.required}
        self.given = {name: value for name, value in compiled.params.items() if name not in asked}

    def __repr__(self) -> str:
        return self.text.decode()


def insert_into(table: Table, *columns: str) -> Insert:
    """An insert whose parameters are named like ``columns``; without any, like all columns of the table."""
    names = columns or tuple(column.name for column in table.columns)
    return insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in names})


def inline(text: str) -> ColumnClause[str]:
    """A constant written into the text, so that the planner sees that a partial index fits. No quotes in it."""
    assert "'" not in text
    return literal_column(f"'{text}'")


async def run(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> None:
    """Send a statement whose result nobody needs."""
    await connection.execute(statement.text, {**statement.given, **parameters})


async def one(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any], row: type[RowT]
) -> RowT | None:
    """The first row, or None."""
    cursor = connection.cursor(row_factory=class_row(row))
    await cursor.execute(statement.text, {**statement.given, **parameters})
    return await cursor.fetchone()


async def many(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any], row: type[RowT]
) -> list[RowT]:
    """All rows."""
    cursor = connection.cursor(row_factory=class_row(row))
    await cursor.execute(statement.text, {**statement.given, **parameters})
    return await cursor.fetchall()


def json_object(**members: ColumnElement[Any]) -> ColumnElement[Any]:
    """A row as a JSON object, made by PostgreSQL."""
    return func.json_build_object(*(part for name, column in members.items() for part in (inline(name), column)))


def json_text(**members: ColumnElement[Any]) -> ColumnElement[str]:
    """The same as text, so that Python only hands it on."""
    return cast(json_object(**members), Text)


async def rows(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """All rows as they come."""
    cursor = await connection.execute(statement.text, {**statement.given, **parameters})
    return await cursor.fetchall()


async def value(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> Any:
    """The first column of the first row, or None."""
    cursor = await connection.execute(statement.text, {**statement.given, **parameters})
    found = await cursor.fetchone()
    return None if found is None else found[0]


async def values(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> list[Any]:
    """The first column of every row."""
    cursor = await connection.execute(statement.text, {**statement.given, **parameters})
    return [row[0] for row in await cursor.fetchall()]
