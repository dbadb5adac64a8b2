"""Parked events: those that can't be applied yet, stored by consumer and subject in the consumer's own database.

An event is parked if its predecessor, published on another topic, has not been applied, or if an earlier event of its
subject and topic is parked or in the dead letters. Its partition continues meanwhile. It is applied in the transaction
that applies its predecessor; no time-out makes it a dead letter. An event in the dead letters has a row too
(``refused``), which blocks the later events of its subject and topic until it is replayed.

A transaction that parks must see all effects of the others, and they its rows. So it takes a lock on ``inbox`` that
conflicts with the insert of every consumer transaction there; transactions that park nothing pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Text,
    any_,
    bindparam,
    delete,
    func,
    select,
    update,
)

from data.contracts.envelope import CloudEvent
from data.kit import sql
from data.kit.database import Connection
from data.kit.dead_letters import Origin, origin
from data.kit.kafka import Message
from data.kit.tables import SHARED

_parked, _inbox = SHARED.parked, SHARED.inbox
_consumer = _parked.c.consumer == bindparam("consumer", type_=Text)
_by_id = _parked.c.id == bindparam("row", type_=BigInteger)
_LOCK = b"LOCK TABLE inbox IN SHARE ROW EXCLUSIVE MODE"
_INSERTED_COLUMNS = (
    "consumer",
    "subject",
    "topic",
    "partition",
    "kafka_offset",
    "event_id",
    "sequence",
    "value",
    "refused",
)
_new = sql.insert_into(_parked, *_INSERTED_COLUMNS)
_ADD = sql.Statement(
    _new.on_conflict_do_update(
        index_elements=[_parked.c.consumer, _parked.c.event_id], set_={"refused": _new.excluded.refused}
    )
)
_OF_SUBJECT = sql.Statement(
    select(_parked).where(_consumer, _parked.c.subject == bindparam("subject", type_=Text)).order_by(_parked.c.id)
)
_SUBJECTS_WITH_PARKED = sql.Statement(
    select(_parked.c.subject).where(_consumer, _parked.c.subject == any_(bindparam("subjects", type_=ARRAY(Text))))
)
_REMOVE = sql.Statement(delete(_parked).where(_by_id))
_MARK_REFUSED = sql.Statement(update(_parked).where(_by_id).values(refused=True, unreachable_at=None))
_DELETE_FROM_INBOX = sql.Statement(
    delete(_inbox).where(_inbox.c.consumer == bindparam("consumer"), _inbox.c.event_id == bindparam("event_id"))
)
_undecided = (_consumer, ~_parked.c.refused, _parked.c.unreachable_at.is_(None))
_LAST_UNDECIDED = sql.Statement(select(func.max(_parked.c.id)).where(*_undecided))
_UNDECIDED_SUBJECTS = sql.Statement(
    select(_parked.c.subject)
    .where(*_undecided, _parked.c.id <= bindparam("last", type_=BigInteger))
    .order_by(_parked.c.id)
    .limit(bindparam("limit"))
)
_MARK_UNREACHABLE = sql.Statement(
    update(_parked)
    .where(
        *_undecided,
        _parked.c.id <= bindparam("last", type_=BigInteger),
        _parked.c.subject == any_(bindparam("subjects", type_=ARRAY(Text))),
    )
    .values(unreachable_at=func.now())
    .returning(_parked.c.id)
)
MAX_COUNTED = 10_000


def _bounded_count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    some = select(_parked.c.consumer).where(*conditions).limit(MAX_COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


_COUNT = sql.Statement(
    select(_bounded_count(_consumer), _bounded_count(_consumer, _parked.c.unreachable_at.is_not(None)))
)
_LIST = sql.Statement(
    select(_parked)
    .where(_consumer, _parked.c.id > bindparam("after", type_=BigInteger))
    .order_by(_parked.c.id)
    .limit(bindparam("limit"))
)


class ParkedEvent(sql.Row):
    """A parked event. ``event_id``, ``sequence`` and ``value`` are None for a message that can't be parsed.

    ``kafka_offset`` is -1 if it is unknown. ``refused``: it is in the dead letters. ``unreachable_at``: when the check
    found that the consumer has passed every message that could have been its predecessor.
    """

    id: int
    subject: str
    topic: str
    partition: int
    kafka_offset: int
    event_id: UUID | None
    sequence: int | None
    value: bytes | None
    refused: bool
    parked_at: datetime
    unreachable_at: datetime | None

    def is_message(self, message: Message, event: CloudEvent | None) -> bool:
        """Return whether this is the row of ``message``, of the event in it, or of the dead letter that it replays."""
        if event is not None and self.event_id is not None:
            return self.event_id == event.id
        return Origin(self.topic, self.partition, self.kafka_offset) == origin(message)


async def lock(connection: Connection) -> None:
    """Wait for all other consumer transactions of the database, and block new ones until this one ends."""
    await connection.execute(_LOCK)


async def add(
    connection: Connection, consumer: str, message: Message, event: CloudEvent | None, refused: bool = False
) -> None:
    """Park an event, or record that it is in the dead letters; ``event``: None if it can't be parsed."""
    source = origin(message)
    row = {
        "consumer": consumer,
        "subject": subject_of(message, event),
        "topic": source.topic,
        "partition": source.partition,
        "kafka_offset": source.offset,
        "event_id": event.id if event else None,
        "sequence": event.sequence if event else None,
        "value": message.value if event else None,
        "refused": refused,
    }
    await sql.run(connection, _ADD, row)


def subject_of(message: Message, event: CloudEvent | None) -> str:
    """Return the subject of an event; of a message that can't be parsed, its key, which is the subject."""
    return event.subject if event else (message.key or b"").decode(errors="replace")


async def of_subject(connection: Connection, consumer: str, subject: str) -> list[ParkedEvent]:
    """Return the events that a consumer has parked for a subject, in the order of their arrival."""
    return await sql.many(connection, _OF_SUBJECT, {"consumer": consumer, "subject": subject}, ParkedEvent)


async def subjects_with_parked(connection: Connection, consumer: str, subjects: Collection[str]) -> set[str]:
    """Return those of ``subjects`` for which a consumer has parked events."""
    parameters = {"consumer": consumer, "subjects": list(set(subjects))}
    return set(await sql.values(connection, _SUBJECTS_WITH_PARKED, parameters))


async def remove(connection: Connection, parked: ParkedEvent) -> None:
    """Delete the row of an event that was applied."""
    await sql.run(connection, _REMOVE, {"row": parked.id})


async def mark_refused(connection: Connection, consumer: str, parked: ParkedEvent) -> None:
    """Record that a parked event is in the dead letters, and delete its inbox row: a replay counts as new."""
    await sql.run(connection, _MARK_REFUSED, {"row": parked.id})
    await sql.run(connection, _DELETE_FROM_INBOX, {"consumer": consumer, "event_id": parked.event_id})


def is_blocked(queue: Iterable[ParkedEvent], topic: str, sequence: int) -> bool:
    """Return whether an event of ``topic`` must wait for one of ``queue``: an earlier one, or an unreadable one."""
    return any(each.topic == topic and (each.sequence is None or each.sequence < sequence) for each in queue)


def heads(queue: Collection[ParkedEvent]) -> list[ParkedEvent]:
    """Return the events of a subject to try next: the earliest of each topic, unless a dead letter precedes it."""
    first: dict[str, ParkedEvent] = {}
    for each in sorted((each for each in queue if not each.refused), key=lambda each: each.sequence or 0):
        first.setdefault(each.topic, each)
    refused = [each for each in queue if each.refused]
    return [each for each in first.values() if not any(_is_before(other, each) for other in refused)]


def _is_before(refused: ParkedEvent, parked: ParkedEvent) -> bool:
    if refused.topic != parked.topic:
        return False
    if refused.sequence is None or parked.sequence is None:
        return refused.id < parked.id
    return refused.sequence < parked.sequence


async def last_undecided(connection: Connection, consumer: str) -> int | None:
    """Return the id of the newest parked row that is not marked unreachable; None if there is none."""
    found: int | None = await sql.value(connection, _LAST_UNDECIDED, {"consumer": consumer})
    return found


async def undecided_subjects(connection: Connection, consumer: str, last: int, limit: int) -> list[str]:
    """Return the subjects of the ``limit`` oldest rows up to ``last`` that are not marked unreachable."""
    found = await sql.values(connection, _UNDECIDED_SUBJECTS, {"consumer": consumer, "last": last, "limit": limit})
    return list(dict.fromkeys(found))


async def mark_unreachable(connection: Connection, consumer: str, subjects: Sequence[str], last: int) -> int:
    """Mark the rows of ``subjects`` up to ``last``, whose predecessor is in no topic; return their number."""
    parameters = {"consumer": consumer, "subjects": list(subjects), "last": last}
    return len(await sql.values(connection, _MARK_UNREACHABLE, parameters))


async def counts(connection: Connection, consumer: str) -> tuple[int, int]:
    """Return the numbers of a consumer's parked events and of the unreachable ones; each up to ``MAX_COUNTED``."""
    ((parked, unreachable),) = await sql.rows(connection, _COUNT, {"consumer": consumer})
    return parked, unreachable


async def list_page(connection: Connection, consumer: str, after: int = 0, limit: int = 500) -> list[ParkedEvent]:
    """Return a page of a consumer's parked events, oldest first, after row ``after``."""
    return await sql.many(connection, _LIST, {"consumer": consumer, "after": after, "limit": limit}, ParkedEvent)
