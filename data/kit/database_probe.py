"""A health check of a database outside the pool: by a connection and a thread that nothing else uses."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg

from data.kit import clock
from data.kit.clock import Instant
from data.kit.database import UNAVAILABLE_ERRORS, connect_arguments
from data.kit.settings import DataSettings

PROBE_TIMEOUT_S, RESULT_MAX_AGE_S = 2.0, 1.0


class DatabaseProbe:
    """Check one database. The first check opens the connection, later ones reuse it; one check runs at a time.

    Needs neither a connection of the pool nor a thread of the event loop's default executor, which resolves host names
    among other things: slow requests may occupy both.
    """

    def __init__(
        self,
        url: str,
        settings: DataSettings,
        name: str,
        timeout_s: float = PROBE_TIMEOUT_S,
        max_age_s: float = RESULT_MAX_AGE_S,
    ) -> None:
        limits = dict.fromkeys(("statement_timeout_s", "lock_timeout_s", "connect_timeout_s"), timeout_s)
        self._url, self._arguments = url, connect_arguments(settings.model_copy(update=limits), name)
        self._timeout_s, self._max_age_s = timeout_s, max_age_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database probe")
        self._connection: psycopg.Connection | None = None
        self._check: asyncio.Task[str | None] | None = None
        self._result: tuple[str | None, Instant] | None = None
        self.checks = 0

    async def failure(self) -> str | None:
        """Return what is wrong, in a few words; None if the database answers. The result is ``max_age_s`` old at most.

        Returns within ``timeout_s``; a check that takes longer continues, and the next caller waits for that one.
        """
        if self._result is not None and clock.elapsed_since(self._result[1]) < self._max_age_s:
            return self._result[0]
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._run(), name="database probe")
        check = self._check
        done, _ = await asyncio.wait({check}, timeout=self._timeout_s)
        return check.result() if done else f"no answer in {self._timeout_s:g} s"

    async def _run(self) -> str | None:
        started = clock.instant()
        result = await asyncio.get_running_loop().run_in_executor(self._thread, self._select)
        self._result = result, started
        return result

    def _select(self) -> str | None:
        """Try the existing connection, and a new one if that has failed. Runs in the thread."""
        self.checks += 1
        if self._connection is not None:
            try:
                self._connection.execute("SELECT 1")
            except UNAVAILABLE_ERRORS:
                self._connection.close()
                self._connection = None
            else:
                return None
        try:
            self._connection = psycopg.connect(self._url, **self._arguments)
            self._connection.execute("SELECT 1")
        except UNAVAILABLE_ERRORS as error:
            return type(error).__name__
        return None

    async def close(self) -> None:
        """Close the connection once a running check has finished; the caller does not wait for it."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
