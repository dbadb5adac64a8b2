"""Run alembic migrations without its ini and env files: a service's versions are in ``data/<service>/migrations``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, NullPool, create_engine, make_url, text

_LOCK = 0x5C4E3A  # concurrent migrations of one database run one after the other


def up(url: str, service: str, target: str = "head") -> str | None:
    """Upgrade a database to ``target``; return its new version."""
    script = _script(service)
    return _move(url, script, lambda version, _: script._upgrade_revs(target, version))


def down(url: str, service: str, target: str) -> str | None:
    """Downgrade a database to ``target`` (``base``: no tables); return its new version."""
    script = _script(service)
    return _move(url, script, lambda version, _: script._downgrade_revs(target, version))


def _move(url: str, script: ScriptDirectory, steps: Callable[[Any, Any], Any]) -> str | None:
    with _connect(url) as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        with EnvironmentContext(Config(), script, fn=steps) as environment:
            environment.configure(connection=connection)
            with environment.begin_transaction():
                environment.run_migrations()
        return MigrationContext.configure(connection).get_current_revision()


def _script(service: str) -> ScriptDirectory:
    folder = Path(str(importlib.import_module(f"data.{service}").__file__)).with_name("migrations")
    return ScriptDirectory(str(folder), version_locations=[str(folder)])


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def version(url: str) -> str | None:
    """Return the version of a database, None before the first."""
    with _connect(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head(service: str) -> str | None:
    """Return the newest version of a service."""
    return _script(service).get_current_head()


def tables(service: str) -> MetaData:
    """Return the tables as the code of a service declares them."""
    found = importlib.import_module(f"data.{service}.tables").METADATA
    assert isinstance(found, MetaData)
    return found


def execute(statements: Iterable[str]) -> None:
    """Execute statements within the running migration."""
    for statement in statements:
        op.execute(statement)
