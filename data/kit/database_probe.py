"""Whether a database answers, asked outside the pool: by a connection and a thread that nothing else uses."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg

from data.kit import clock
from data.kit.clock import Instant
from data.kit.database import AWAY, connect_arguments
from data.kit.settings import Settings

TIMEOUT_S, MAX_AGE_S = 2.0, 1.0


class DatabaseProbe:
    """Checks one database. Opens its connection at the first check and keeps it; one check runs at a time.

    Needs neither a connection of the pool nor a thread of the event loop's default executor, which resolves host names
    among other things: both may be taken by slow requests.
    """

    def __init__(
        self, url: str, settings: Settings, name: str, timeout_s: float = TIMEOUT_S, max_age_s: float = MAX_AGE_S
    ) -> None:
        limits = dict.fromkeys(("statement_timeout_s", "lock_timeout_s", "connect_timeout_s"), timeout_s)
        self._url, self._arguments = url, connect_arguments(settings.model_copy(update=limits), name)
        self._timeout_s, self._max_age_s = timeout_s, max_age_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database probe")
        self._connection: psycopg.Connection | None = None
        self._check: asyncio.Task[str | None] | None = None
        self._found: tuple[str | None, Instant] | None = None
        self.checks = 0

    async def failure(self) -> str | None:
        """What is wrong, in a word or two; None if the database answers. Known from a check ``max_age_s`` old at most.

        Returns within ``timeout_s``; a check that takes longer goes on, and the next caller waits for that one.
        """
        if self._found is not None and clock.longest_since(self._found[1]) < self._max_age_s:
            return self._found[0]
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._run(), name="database probe")
        check = self._check
        done, _ = await asyncio.wait({check}, timeout=self._timeout_s)
        return check.result() if done else f"no answer in {self._timeout_s:g} s"

    async def _run(self) -> str | None:
        began = clock.instant()
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._select)
        self._found = found, began
        return found

    def _select(self) -> str | None:
        """In the thread: try the connection there is, and a new one where that has failed."""
        self.checks += 1
        if self._connection is not None:
            try:
                self._connection.execute("SELECT 1")
            except AWAY:
                self._connection.close()
                self._connection = None
            else:
                return None
        try:
            self._connection = psycopg.connect(self._url, **self._arguments)
            self._connection.execute("SELECT 1")
        except AWAY as error:
            return type(error).__name__
        return None

    async def close(self) -> None:
        """Close the connection once a check under way has ended; the caller does not wait for it."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
