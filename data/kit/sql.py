"""SQLAlchemy Core as the language of statements, psycopg as their executor.

A statement is compiled once, when its module is imported; its parameters are ``bindparam("name")`` and are passed by
name when it is executed. Rows become frozen pydantic models, so that statuses, money and timestamps have their types.
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
    """A row as a model; one field for each column that the statement returns."""

    model_config = ConfigDict(frozen=True)


class Statement:
    """A compiled statement: its text, and the values of the literals in it."""

    __slots__ = ("constants", "text")

    def __init__(self, expression: ClauseElement) -> None:
        compiled = expression.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        assert isinstance(compiled, SQLCompiler)
        self.text = str(compiled).encode()
        required = {name for bind, name in compiled.bind_names.items() if bind.required}
        self.constants = {name: value for name, value in compiled.params.items() if name not in required}

    def __repr__(self) -> str:
        return self.text.decode()


def insert_into(table: Table, *columns: str) -> Insert:
    """Return an insert whose parameters are named like ``columns``, by default like all columns of the table."""
    names = columns or tuple(column.name for column in table.columns)
    return insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in names})


def inline(text: str) -> ColumnClause[str]:
    """Return a constant inlined in the text, so that the planner can match a partial index. Must not contain quotes."""
    assert "'" not in text
    return literal_column(f"'{text}'")


async def run(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> None:
    """Execute a statement without fetching a result."""
    await connection.execute(statement.text, {**statement.constants, **parameters})


async def one(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any], row: type[RowT]
) -> RowT | None:
    """Return the first row, or None."""
    cursor = connection.cursor(row_factory=class_row(row))
    await cursor.execute(statement.text, {**statement.constants, **parameters})
    return await cursor.fetchone()


async def many(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any], row: type[RowT]
) -> list[RowT]:
    """Return all rows as models."""
    cursor = connection.cursor(row_factory=class_row(row))
    await cursor.execute(statement.text, {**statement.constants, **parameters})
    return await cursor.fetchall()


def json_object(**members: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a JSON object of columns, built by PostgreSQL."""
    return func.json_build_object(*(part for name, column in members.items() for part in (inline(name), column)))


def json_text(**members: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the same as text, so that Python passes it through unparsed."""
    return cast(json_object(**members), Text)


async def rows(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return all rows as tuples."""
    cursor = await connection.execute(statement.text, {**statement.constants, **parameters})
    return await cursor.fetchall()


async def value(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> Any:
    """Return the first column of the first row, or None."""
    cursor = await connection.execute(statement.text, {**statement.constants, **parameters})
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def values(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> list[Any]:
    """Return the first column of every row."""
    cursor = await connection.execute(statement.text, {**statement.constants, **parameters})
    return [row[0] for row in await cursor.fetchall()]
