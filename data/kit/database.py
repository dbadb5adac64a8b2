"""One PostgreSQL database from asyncio: a pool, transactions in pipeline mode, a time-out on every wait.

Statements are SQLAlchemy Core, compiled once (:mod:`data.kit.sql`) and executed by psycopg as prepared statements:
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

from data.kit.settings import DataSettings

Connection = AsyncConnection[Any]
UNAVAILABLE_ERRORS = (OperationalError, InterfaceError)
"""The database is unavailable, or refused temporarily (a deadlock, a time-out): the transaction may succeed later."""
RETRY_DELAY_S = 0.2
"""Between attempts to connect."""
MAX_BACKOFF_S = 1.0
"""The longest delay of a consumer or relay between attempts while the database or the broker is unavailable."""
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


class _DictDumper(JsonbDumper):
    """Send a dict as jsonb."""


class _RetryingConnection(AsyncConnection[Any]):
    """Connect as soon as the server is available: the pool alone waits for 1, 2, 4 ... s between its attempts."""

    @classmethod
    async def connect(cls, *arguments: Any, **options: Any) -> Self:
        """Retry for as long as the pool would wait for this attempt; raise the last error."""
        deadline = time.monotonic() + options["connect_timeout"]
        while True:
            try:
                return await super().connect(*arguments, **options)
            except OperationalError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(RETRY_DELAY_S)


class Database:
    """A pool of connections to one database; opened and closed by ``async with``."""

    def __init__(self, url: str, settings: DataSettings | None = None, name: str = "facet") -> None:
        chosen = settings or DataSettings()
        self.url, self._arguments = url, connect_arguments(chosen, name)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=_RetryingConnection,
            min_size=1,
            max_size=chosen.database_pool,
            timeout=chosen.connect_timeout_s,
            # After a long outage the pool would back off for as long again. The next request for a connection starts
            # another attempt.
            reconnect_timeout=chosen.connect_timeout_s,
            max_idle=300,
            kwargs=self._arguments,
            configure=_configure,
            open=False,
            name=name,
        )

    async def open(self) -> Self:
        """Start to connect; an unavailable database is no error before a connection is needed."""
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
        """Yield a connection in autocommit mode: for single statements, mostly reads."""
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection within a transaction, committed at the end of the block, rolled back if the block raises.

        In pipeline mode: a statement is sent without waiting for the one before it, so a transaction of writes costs
        one round trip. To use a statement's result, fetch it (``rowcount`` is unset before); the error of a statement
        whose result is not fetched is raised at the end of the block, before anything is committed: the server skips
        what follows it, COMMIT too. (psycopg's own ``transaction()`` waits for the statements before it sends COMMIT.)
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
        """Yield a connection outside the pool, in autocommit mode, for session state: locks, notifications."""
        async with await AsyncConnection.connect(self.url, **self._arguments) as connection:
            await _configure(connection)
            yield connection

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[Connection]:
        """Yield a session that receives the notifications of ``channel``."""
        async with self.session() as connection:
            await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
            yield connection


async def wait_for_notification(connection: Connection, timeout_s: float) -> None:
    """Return at the next notification, at once if one was received since the last call, or after ``timeout_s``."""
    async for _ in connection.notifies(timeout=timeout_s, stop_after=1):
        pass


def connect_arguments(settings: DataSettings, name: str) -> dict[str, Any]:
    """Return arguments of ``psycopg.connect``: time-outs for every wait, UTC, statements prepared at the first use."""
    timeouts = {
        "statement_timeout": settings.statement_timeout_s,
        "lock_timeout": settings.lock_timeout_s,
        "idle_in_transaction_session_timeout": 60,
    }
    options = " ".join(f"-c {key}={round(1000 * seconds)}" for key, seconds in timeouts.items())
    # The server ends the session of a lost machine, and frees its locks, as soon as the client would.
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
