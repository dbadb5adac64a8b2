"""Removes dead and stale members from a consumer group at once.

Kafka keeps a dead member until its session ends (``kafka.SESSION_TIMEOUT_MS``); until then its partitions stand still
and its successor waits to join. So each member holds an advisory lock in its consumer's database, whose key is in its
client id. PostgreSQL frees the lock with the connection, that is when the process dies. The other members of the group,
and a successor before it has joined, remove a member whose lock is free.

A client whose request to join was answered too late, as by a broker that stood still, asks again and is two members
then: itself, and one that takes partitions and never reads them. Both are removed; the client joins again.

A restart of PostgreSQL frees every lock, and each member takes its own again. One that is removed before it has done so
joins again by itself: that costs a rebalance and loses nothing (docs/decisions/0018-group-members.md).
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
from data.kit.database import AWAY, RETRY_EVERY_S, Connection, Database

CHECK_EVERY_S = 5.0
CONFIRM_AFTER_S = 1.0
"""Between the two checks that find a lock free before its member is removed: time to take it again."""
CHECK_TIMEOUT_S = 10.0
LONGEST_PAUSE_S = 2.0
"""Between attempts while Kafka is away."""
RECOVERY_S = 10.0
"""After Kafka has come back, members join anew: so long the group is checked every ``CONFIRM_AFTER_S``."""
LOCKS = 0x6B61666B
"""The first key of the locks, which keeps them apart from others."""
_locks = table("pg_locks", column("locktype"), column("classid"), column("objid"))
_HELD = sql.Statement(
    select(cast(_locks.c.objid, BigInteger)).where(
        _locks.c.locktype == "advisory", cast(_locks.c.classid, BigInteger) == LOCKS
    )
)
_TAKE = sql.Statement(select(func.pg_try_advisory_lock(literal(LOCKS, Integer), bindparam("key", type_=Integer))))
_log = structlog.get_logger(__name__)


class GroupMembership:
    """One member of ``group`` at a time, for the consumer whose effects are in ``database``.

    ``removed`` counts the dead members that it has removed.
    """

    def __init__(self, group: str, database: Database, bootstrap: str) -> None:
        self._group, self._database, self._bootstrap = group, database, bootstrap
        self._suspects: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self.removed = 0

    @asynccontextmanager
    async def member(self) -> AsyncIterator[str]:
        """The client id of a new member, whose lock is held for the block. Waits for a database that is away."""
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
        """Raise what ended the watch over the group: no outage does."""
        if self._watch and self._watch.done():
            self._watch.result()

    async def _hold(self, key: int, held: asyncio.Future[None]) -> None:
        """Hold the lock ``key`` and remove dead members, for ever."""
        while True:
            try:
                async with self._database.session() as connection:
                    # After a broken connection the server may still keep the former session, and the lock with it.
                    if await sql.value(connection, _TAKE, {"key": key}):
                        if not held.done():
                            held.set_result(None)
                        await self._remove_dead(connection)
            except AWAY as error:
                _log.warning("group membership waits for the database", consumer=self._group, error=str(error))
            await asyncio.sleep(RETRY_EVERY_S)

    async def _remove_dead(self, connection: Connection) -> None:
        """Remove each member that two checks in a row find dead, until the database is away."""
        pause_s, recovered = 0.0, 0.0
        while True:
            try:
                async with kafka.started(kafka.Group(self._bootstrap, self._group)) as group:
                    if pause_s:
                        pause_s, recovered = 0.0, time.monotonic() + RECOVERY_S
                    while True:
                        async with asyncio.timeout(CHECK_TIMEOUT_S):
                            await self._check(connection, group)
                        soon = self._suspects or time.monotonic() < recovered
                        await asyncio.sleep(CONFIRM_AFTER_S if soon else CHECK_EVERY_S)
            except (KafkaError, OSError) as error:  # a time-out is an OSError
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s + CONFIRM_AFTER_S)
                _log.warning(
                    "group membership waits for kafka", consumer=self._group, error=str(error), seconds=pause_s
                )
            await asyncio.sleep(pause_s)

    async def _check(self, connection: Connection, group: kafka.Group) -> None:
        members = await group.members()
        held = set(await sql.values(connection, _HELD, {}))
        clients = Counter(members.values())
        keys = {ident: _key(self._group, client) for ident, client in members.items()}
        dead = {
            ident for ident, key in keys.items() if key is not None and (key not in held or clients[members[ident]] > 1)
        }
        for ident in dead & self._suspects:
            if await group.remove(ident):  # and no other member has been quicker
                self.removed += 1
                _log.warning("dead member removed from its group", consumer=self._group, member=ident)
        self._suspects = dead - self._suspects


def _client_id(group: str, key: int) -> str:
    return f"{group}-{key:08x}"


def _key(group: str, client_id: str) -> int | None:
    """The lock of the member with this client id; None where it has none of ours."""
    start, _, key = client_id.rpartition("-")
    try:
        return int(key, 16) if start == group and len(key) == 8 else None
    except ValueError:
        return None
