"""Apply events in one database transaction with their inbox rows: each once, each after its predecessor.

An event that can't be applied yet is parked (:mod:`data.kit.parking`), and retried in the transaction that applies its
predecessor. A transaction that finds parked events of its subjects, or has to park one, is repeated under the lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.registry import payload
from data.kit import inbox, parking, trace
from data.kit.database import UNAVAILABLE_ERRORS, Connection, Database
from data.kit.dead_letters import is_for_other_consumer, is_replay
from data.kit.kafka import Message
from data.kit.parking import ParkedEvent
from data.orders.sequencing import PredecessorMissing

Handler = Callable[[Connection, CloudEvent, EventData], Awaitable[None]]
"""Apply an event within the caller's transaction. Raises PredecessorMissing, before it has changed anything, if an
event that it builds on has not been applied.
"""


class ParkedEventRefused(Exception):
    """The handler raised an error for a parked event that was retried; its predecessor is not at fault."""

    def __init__(self, parked: ParkedEvent, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.parked, self.error = parked, error


class _ParkingNeeded(Exception):
    """The transaction must be repeated under the lock of :func:`data.kit.parking.lock`."""


_Readable = tuple[Message, CloudEvent, EventData | None]
"""The data is None for a replayed event of an unknown type: only the row of its dead letter is removed."""


class Applier:
    """Apply events to ``database`` by ``handler``, for the consumer ``name``.

    ``applied`` counts the events that were applied, ``parked`` those that were parked.
    """

    def __init__(self, name: str, handler: Handler, database: Database) -> None:
        self.name, self._handler, self._database = name, handler, database
        self.applied = self.parked = 0

    async def apply(self, messages: Sequence[Message]) -> list[EventData]:
        """Apply or park the new events of one partition's messages; return those that were applied.

        Raises what the parser or the handler raises, with nothing changed; ParkedEventRefused if the event had been
        parked.
        """
        readable = [each for message in messages if (each := self._read(message)) is not None]
        if not readable:
            return []
        try:
            applied = await self._transaction(readable, locked=False)
        except _ParkingNeeded:
            applied = await self._transaction(readable, locked=True)
        self.applied += len(applied)
        return applied

    async def retry(self, subjects: Sequence[str]) -> list[EventData]:
        """Apply the parked events of ``subjects`` that can be applied now; raises as :meth:`apply` does."""
        applied = []
        async with self._database.transaction() as connection:
            await parking.lock(connection)
            for subject in subjects:
                applied += await self._retry_parked(connection, subject)
        self.applied += len(applied)
        return applied

    def _read(self, message: Message) -> _Readable | None:
        """Return the event of a message; None if it is for another consumer or of an unknown type."""
        if is_for_other_consumer(message, self.name):
            return None
        event = CloudEvent.model_validate_json(message.value or b"")
        data = payload(event)
        return None if data is None and not is_replay(message) else (message, event, data)

    async def _transaction(self, readable: Sequence[_Readable], locked: bool) -> list[EventData]:
        applied: list[EventData] = []
        parked = 0
        async with self._database.transaction() as connection:
            if locked:
                await parking.lock(connection)
            new, any_parked = await inbox.record(connection, self.name, [event.id for _, event, _ in readable])
            with_parked: set[str] = set()
            if any_parked:
                with_parked = await parking.subjects_with_parked(
                    connection, self.name, [event.subject for _, event, _ in readable]
                )
            if with_parked and not locked:
                raise _ParkingNeeded
            for message, event, data in readable:
                if event.id not in new:
                    continue
                new.remove(event.id)
                if event.subject in with_parked:
                    result = await self._behind_parked(connection, message, event, data)
                elif await self._try_apply(connection, event, data):
                    result = [data] if data else []
                else:
                    result = None
                if result is not None:
                    applied += result
                    continue
                if not locked:
                    raise _ParkingNeeded
                await parking.add(connection, self.name, message, event)
                with_parked.add(event.subject)
                parked += 1
        self.parked += parked
        return applied

    async def _behind_parked(
        self, connection: Connection, message: Message, event: CloudEvent, data: EventData | None
    ) -> list[EventData] | None:
        """Apply an event whose subject has parked events, then those that waited for it; None if it must wait too."""
        queue = await parking.of_subject(connection, self.name, event.subject)
        own = [row for row in queue if row.is_message(message, event)]  # a dead letter that is replayed
        others = [row for row in queue if row not in own]
        if parking.is_blocked(others, message.topic, event.sequence) or not await self._try_apply(
            connection, event, data
        ):
            return None
        for row in own:
            await parking.remove(connection, row)
        return [*([data] if data else []), *await self._retry_parked(connection, event.subject)]

    async def _try_apply(self, connection: Connection, event: CloudEvent, data: EventData | None) -> bool:
        """Apply one event; return False if its predecessor is missing."""
        trace.current.set(event.traceparent)
        try:
            if data is not None:
                await self._handler(connection, event, data)
        except PredecessorMissing:
            return False
        return True

    async def _retry_parked(self, connection: Connection, subject: str) -> list[EventData]:
        """Apply the parked events of a subject whose predecessors are applied, in the order of their topics."""
        queue = await parking.of_subject(connection, self.name, subject)
        applied: list[EventData] = []
        while row := await self._retry_one(connection, queue):
            data, parked = row
            await parking.remove(connection, parked)
            queue.remove(parked)
            applied.append(data)
        return applied

    async def _retry_one(
        self, connection: Connection, queue: Sequence[ParkedEvent]
    ) -> tuple[EventData, ParkedEvent] | None:
        for parked in parking.heads(queue):
            try:
                async with connection.pipeline():  # errors of the statements are raised at its end
                    event = CloudEvent.model_validate_json(parked.value or b"")
                    data = payload(event)
                    assert data is not None, f"parked with the type {event.type}, which is unknown now"
                    applied = await self._try_apply(connection, event, data)
            except UNAVAILABLE_ERRORS:
                raise
            except Exception as error:
                raise ParkedEventRefused(parked, error) from error
            if applied:
                return data, parked
        return None
