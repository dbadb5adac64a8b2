"""One PostgreSQL database from asyncio: a pool, transactions in pipeline mode, limits on every wait.

Statements are SQLAlchemy Core, compiled once (:mod:`data.kit.sql`) and run by psycopg itself as prepared statements:
SQLAlchemy's own execution costs more than the statement does (docs/decisions/0012-statements.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier
from psycopg.types.json import JsonbDumper
from psycopg_pool import AsyncConnectionPool

from data.kit.settings import Settings

Connection = AsyncConnection[Any]
AWAY = (OperationalError, InterfaceError)
"""The database is away, or refused for now (a deadlock, a timeout): the same transaction may go well later."""
RETRY_EVERY_S = 0.2
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


class _DictDumper(JsonbDumper):
    """A dict is sent as jsonb."""


class _RetryingConnection(AsyncConnection[Any]):
    """Connects as soon as the server is back: the pool alone waits for 1, 2, 4 ... s between its attempts."""

    @classmethod
    async def connect(cls, *arguments: Any, **options: Any) -> Self:
        """Try for as long as the pool would wait for this attempt; raises the last error."""
        give_up = time.monotonic() + options["connect_timeout"]
        while True:
            try:
                return await super().connect(*arguments, **options)
            except OperationalError:
                if time.monotonic() > give_up:
                    raise
            await asyncio.sleep(RETRY_EVERY_S)


class Database:
    """A pool of connections to one database; opened and closed by ``async with``."""

    def __init__(self, url: str, settings: Settings | None = None, name: str = "facet") -> None:
        chosen = settings or Settings()
        self.url, self._arguments = url, connect_arguments(chosen, name)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=_RetryingConnection,
            min_size=1,
            max_size=chosen.database_pool,
            timeout=chosen.connect_timeout_s,
            # After a long outage the pool would stay away as long again. An attempt that is given up is begun anew by
            # the next who asks.
            reconnect_timeout=chosen.connect_timeout_s,
            max_idle=300,
            kwargs=self._arguments,
            configure=_configure,
            open=False,
            name=name,
        )

    async def open(self) -> Self:
        """Begin to connect; a database that is away now is no error before it is needed."""
        await self._pool.open()
        return self

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit mode: for single statements, mostly reads."""
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction, committed at the end of the block, rolled back when the block raises.

        In pipeline mode: a statement is sent without waiting for the one before it, so a transaction of writes costs
        one round trip. Whoever needs a statement's result fetches it (``rowcount`` is not known before); an error of
        a statement that nobody fetched is raised at the end of the block, before anything is committed: the server
        passes over what follows it, COMMIT too. (psycopg's own ``transaction()`` waits for the statements before it
        sends COMMIT.)
        """
        async with self._pool.connection() as connection:
            try:
                async with connection.pipeline():
                    await connection.execute(b"BEGIN")
                    yield connection
                    await connection.execute(b"COMMIT")
            finally:
                if connection.info.transaction_status in _OPEN:
                    await connection.rollback()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A connection beside the pool, in autocommit mode, for what a session has: locks, notifications."""
        async with await AsyncConnection.connect(self.url, **self._arguments) as connection:
            await _configure(connection)
            yield connection

    @asynccontextmanager
    async def hearing(self, channel: str) -> AsyncIterator[Connection]:
        """A session that hears what is notified on ``channel``."""
        async with self.session() as connection:
            await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
            yield connection


async def heard(connection: Connection, timeout_s: float) -> None:
    """Return at the next notification, at once if one has come since the last call, or after ``timeout_s``."""
    async for _ in connection.notifies(timeout=timeout_s, stop_after=1):
        pass


def connect_arguments(settings: Settings, name: str) -> dict[str, Any]:
    """Arguments of ``psycopg.connect``: no wait without an end, UTC, every statement prepared at its first use."""
    timeouts = {
        "statement_timeout": settings.statement_timeout_s,
        "lock_timeout": settings.lock_timeout_s,
        "idle_in_transaction_session_timeout": 60,
    }
    options = " ".join(f"-c {key}={round(1000 * seconds)}" for key, seconds in timeouts.items())
    # The server ends the session of a machine that has gone, and frees its locks, as soon as the client would.
    options += " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    return {
        "autocommit": True,
        "prepare_threshold": 0,
        "connect_timeout": max(1, round(settings.connect_timeout_s)),
        "options": f"{options} -c timezone=UTC",
        "application_name": name,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }


async def _configure(connection: Connection) -> None:
    connection.adapters.register_dumper(dict, _DictDumper)
    connection.prepared_max = 400
