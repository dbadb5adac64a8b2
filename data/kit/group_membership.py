"""Remove dead and stale members from a consumer group at once.

Kafka keeps a dead member until its session expires (``kafka.SESSION_TIMEOUT_MS``); until then its partitions are not
read and its successor waits to join. So each member holds an advisory lock in its consumer's database, whose key is in
its client id. PostgreSQL frees the lock with the connection, that is when the process dies. The other members of the
group, and a successor before it has joined, remove a member whose lock is free.

A client whose join request was answered too late, as by a stalled broker, repeats it and then counts as two members:
itself, and one that is assigned partitions and never reads them. Both are removed; the client joins again.

A restart of PostgreSQL frees every lock, and each member acquires its own again. One that is removed before it has done
so joins again by itself: that costs a rebalance and loses nothing (docs/decisions/0019).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy import BigInteger, Integer, bindparam, cast, column, func, literal, select, table

from data.kit import kafka, sql
from data.kit.database import RETRY_DELAY_S, UNAVAILABLE_ERRORS, Connection, Database

CHECK_INTERVAL_S = 5.0
CONFIRM_DELAY_S = 1.0
"""Between the two checks that find a lock free before its member is removed: time to acquire it again."""
CHECK_TIMEOUT_S = 10.0
MAX_BACKOFF_S = 2.0
"""The longest delay between attempts while Kafka is unavailable."""
RECOVERY_S = 10.0
"""Once Kafka is available again, members rejoin: for this time the group is checked every ``CONFIRM_DELAY_S``."""
LOCK_NAMESPACE = 0x6B61666B
"""The first key of the locks, which separates them from others."""
_locks = table("pg_locks", column("locktype"), column("classid"), column("objid"))
_HELD = sql.Statement(
    select(cast(_locks.c.objid, BigInteger)).where(
        _locks.c.locktype == "advisory", cast(_locks.c.classid, BigInteger) == LOCK_NAMESPACE
    )
)
_ACQUIRE = sql.Statement(
    select(func.pg_try_advisory_lock(literal(LOCK_NAMESPACE, Integer), bindparam("key", type_=Integer)))
)
_log = structlog.get_logger(__name__)


class GroupMembership:
    """One member of ``group`` at a time, for the consumer that writes to ``database``.

    ``removed`` counts the dead members that this process has removed.
    """

    def __init__(self, group: str, database: Database, bootstrap: str) -> None:
        self._group, self._database, self._bootstrap = group, database, bootstrap
        self._suspects: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self.removed = 0

    @asynccontextmanager
    async def member(self) -> AsyncIterator[str]:
        """Yield the client id of a new member, whose lock is held for the block. Waits for an unavailable database."""
        key = 1 + secrets.randbelow(2**31 - 1)
        held = asyncio.get_running_loop().create_future()
        self._watch = asyncio.get_running_loop().create_task(self._hold(key, held), name=f"{self._group} membership")
        try:
            await asyncio.wait((self._watch, held), return_when=asyncio.FIRST_COMPLETED)
            self.check()
            yield _client_id(self._group, key)
        finally:
            while not self._watch.done():  # asyncio.wait_for can swallow a cancellation before Python 3.12
                self._watch.cancel()
                await asyncio.wait((self._watch,), timeout=1.0)

    def check(self) -> None:
        """Raise the error that ended the watch over the group: no outage does."""
        if self._watch and self._watch.done():
            self._watch.result()

    async def _hold(self, key: int, held: asyncio.Future[None]) -> None:
        """Hold the lock ``key`` and remove dead members until cancelled."""
        while True:
            try:
                async with self._database.session() as connection:
                    # After a broken connection the server may still have the former session, and the lock with it.
                    if await sql.value(connection, _ACQUIRE, {"key": key}):
                        if not held.done():
                            held.set_result(None)
                        await self._remove_dead(connection)
            except UNAVAILABLE_ERRORS as error:
                _log.warning("group membership waits for the database", consumer=self._group, error=str(error))
            await asyncio.sleep(RETRY_DELAY_S)

    async def _remove_dead(self, connection: Connection) -> None:
        """Remove each member that two successive checks find dead, until the database is unavailable."""
        backoff_s, recovering_until = 0.0, 0.0
        while True:
            try:
                async with kafka.started(kafka.GroupClient(self._bootstrap, self._group)) as group:
                    if backoff_s:
                        backoff_s, recovering_until = 0.0, time.monotonic() + RECOVERY_S
                    while True:
                        async with asyncio.timeout(CHECK_TIMEOUT_S):
                            await self._check(connection, group)
                        soon = self._suspects or time.monotonic() < recovering_until
                        await asyncio.sleep(CONFIRM_DELAY_S if soon else CHECK_INTERVAL_S)
            except (KafkaError, OSError) as error:  # a time-out is an OSError
                backoff_s = min(MAX_BACKOFF_S, 2 * backoff_s + CONFIRM_DELAY_S)
                _log.warning(
                    "group membership waits for kafka", consumer=self._group, error=str(error), seconds=backoff_s
                )
            await asyncio.sleep(backoff_s)

    async def _check(self, connection: Connection, group: kafka.GroupClient) -> None:
        members = await group.members()
        held = set(await sql.values(connection, _HELD, {}))
        clients = Counter(members.values())
        keys = {member_id: _key(self._group, client) for member_id, client in members.items()}
        dead = {
            member_id
            for member_id, key in keys.items()
            if key is not None and (key not in held or clients[members[member_id]] > 1)
        }
        for member_id in dead & self._suspects:
            if await group.remove(member_id):  # and no other member has removed it first
                self.removed += 1
                _log.warning("dead member removed from its group", consumer=self._group, member=member_id)
        self._suspects = dead - self._suspects


def _client_id(group: str, key: int) -> str:
    return f"{group}-{key:08x}"


def _key(group: str, client_id: str) -> int | None:
    """Return the lock key in a client id; None for a client id without one."""
    prefix, _, key = client_id.rpartition("-")
    try:
        return int(key, 16) if prefix == group and len(key) == 8 else None
    except ValueError:
        return None
