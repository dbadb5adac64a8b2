"""Applies events in one database transaction with their inbox rows: each once, each after its predecessor.

What can't be applied yet is parked (:mod:`data.kit.parking`), and what waits for an event is taken up in the
transaction that applies it. A transaction that meets parked events, or has to park one, runs again alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.registry import payload
from data.kit import inbox, parking, trace
from data.kit.database import AWAY, Connection, Database
from data.kit.dead_letters import is_for_another, is_replay
from data.kit.kafka import Message
from data.kit.parking import ParkedEvent
from data.orders.sequencing import PredecessorMissing

Handler = Callable[[Connection, CloudEvent, EventData], Awaitable[None]]
"""Applies an event within the transaction it is given. Raises PredecessorMissing, before it has changed anything, where
an event that it builds on has not been applied.
"""


class ParkedEventRefused(Exception):
    """The handler refused a parked event that was to be taken up; its predecessor is not at fault."""

    def __init__(self, parked: ParkedEvent, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.parked, self.error = parked, error


class _ParkingNeeded(Exception):
    """The transaction must run alone."""


_Readable = tuple[Message, CloudEvent, EventData | None]
"""The data is None for a replayed event of a type that is not known; nothing but its dead letter waits for it."""


class Applier:
    """The effects of events in ``database``, by ``handler``, for the consumer ``name``.

    ``applied`` counts the events that had their effect, ``parked`` those that had to wait.
    """

    def __init__(self, name: str, handler: Handler, database: Database) -> None:
        self.name, self._handler, self._database = name, handler, database
        self.applied = self.parked = 0

    async def apply(self, messages: Sequence[Message]) -> list[EventData]:
        """Apply or park the events of one partition's messages that are new; gives those that had their effect.

        Raises what the reader or the handler raises, with nothing changed; ParkedEventRefused where that was the
        handler of an event that had been parked.
        """
        readable = [each for message in messages if (each := self._read(message)) is not None]
        if not readable:
            return []
        try:
            applied = await self._transaction(readable, alone=False)
        except _ParkingNeeded:
            applied = await self._transaction(readable, alone=True)
        self.applied += len(applied)
        return applied

    async def retry(self, subjects: Sequence[str]) -> list[EventData]:
        """Take up what can be taken up of the parked events of ``subjects``; raises as :meth:`apply` does."""
        applied = []
        async with self._database.transaction() as connection:
            await parking.lock(connection)
            for subject in subjects:
                applied += await self._take_up(connection, subject)
        self.applied += len(applied)
        return applied

    def _read(self, message: Message) -> _Readable | None:
        """The event of a message; None where it is for another consumer or of an unknown type."""
        if is_for_another(message, self.name):
            return None
        event = CloudEvent.model_validate_json(message.value or b"")
        data = payload(event)
        return None if data is None and not is_replay(message) else (message, event, data)

    async def _transaction(self, readable: Sequence[_Readable], alone: bool) -> list[EventData]:
        applied: list[EventData] = []
        parked = 0
        async with self._database.transaction() as connection:
            if alone:
                await parking.lock(connection)
            new, any_parked = await inbox.record(connection, self.name, [event.id for _, event, _ in readable])
            with_parked: set[str] = set()
            if any_parked:
                with_parked = await parking.among(connection, self.name, [event.subject for _, event, _ in readable])
            if with_parked and not alone:
                raise _ParkingNeeded
            for message, event, data in readable:
                if event.id not in new:
                    continue
                new.remove(event.id)
                if event.subject in with_parked:
                    taken = await self._behind_parked(connection, message, event, data)
                elif await self._handled(connection, event, data):
                    taken = [data] if data else []
                else:
                    taken = None
                if taken is not None:
                    applied += taken
                    continue
                if not alone:
                    raise _ParkingNeeded
                await parking.add(connection, self.name, message, event)
                with_parked.add(event.subject)
                parked += 1
        self.parked += parked
        return applied

    async def _behind_parked(
        self, connection: Connection, message: Message, event: CloudEvent, data: EventData | None
    ) -> list[EventData] | None:
        """Apply an event whose subject has parked ones, and those that waited for it; None where it must wait too."""
        queue = await parking.of_subject(connection, self.name, event.subject)
        own = [row for row in queue if row.is_message(message, event)]  # it was a dead letter, replayed now
        others = [row for row in queue if row not in own]
        if parking.is_blocked(others, message.topic, event.sequence) or not await self._handled(
            connection, event, data
        ):
            return None
        for row in own:
            await parking.remove(connection, row)
        return [*([data] if data else []), *await self._take_up(connection, event.subject)]

    async def _handled(self, connection: Connection, event: CloudEvent, data: EventData | None) -> bool:
        """Apply one event; False where its predecessor is missing."""
        trace.current.set(event.traceparent)
        try:
            if data is not None:
                await self._handler(connection, event, data)
        except PredecessorMissing:
            return False
        return True

    async def _take_up(self, connection: Connection, subject: str) -> list[EventData]:
        """Apply the parked events of a subject whose turn has come, in the order of their topics."""
        queue = await parking.of_subject(connection, self.name, subject)
        applied: list[EventData] = []
        while row := await self._take_up_one(connection, queue):
            data, parked = row
            await parking.remove(connection, parked)
            queue.remove(parked)
            applied.append(data)
        return applied

    async def _take_up_one(
        self, connection: Connection, queue: Sequence[ParkedEvent]
    ) -> tuple[EventData, ParkedEvent] | None:
        for parked in parking.heads(queue):
            try:
                async with connection.pipeline():  # its end brings the errors of the statements sent in it
                    event = CloudEvent.model_validate_json(parked.value or b"")
                    data = payload(event)
                    assert data is not None, f"parked with the type {event.type}, which is not known now"
                    handled = await self._handled(connection, event, data)
            except AWAY:
                raise
            except Exception as error:
                raise ParkedEventRefused(parked, error) from error
            if handled:
                return data, parked
        return None
