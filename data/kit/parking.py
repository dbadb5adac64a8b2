"""Parked events: those that can't be applied yet, kept by consumer and subject in the consumer's own database.

An event is parked where its predecessor, which travels on another topic, has not been applied, or where an earlier
event of its subject and topic is parked or in the dead letters. Its partition goes on meanwhile. It is taken up in the
transaction that applies its predecessor; no clock makes it a dead letter. An event in the dead letters has a row too
(``refused``), which holds back the later events of its subject and topic until it is replayed.

A transaction that parks must see all effects of the others, and they its rows. So it takes a lock on ``inbox`` that
every consumer's transaction conflicts with by its own insert there; transactions that park nothing pay nothing for it.
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
_one = _parked.c.id == bindparam("row", type_=BigInteger)
_LOCK = b"LOCK TABLE inbox IN SHARE ROW EXCLUSIVE MODE"
_ADDED = ("consumer", "subject", "topic", "partition", "kafka_offset", "event_id", "sequence", "value", "refused")
_new = sql.insert_into(_parked, *_ADDED)
_ADD = sql.Statement(
    _new.on_conflict_do_update(
        index_elements=[_parked.c.consumer, _parked.c.event_id], set_={"refused": _new.excluded.refused}
    )
)
_OF_SUBJECT = sql.Statement(
    select(_parked).where(_consumer, _parked.c.subject == bindparam("subject", type_=Text)).order_by(_parked.c.id)
)
_AMONG = sql.Statement(
    select(_parked.c.subject).where(_consumer, _parked.c.subject == any_(bindparam("subjects", type_=ARRAY(Text))))
)
_REMOVE = sql.Statement(delete(_parked).where(_one))
_REFUSE = sql.Statement(update(_parked).where(_one).values(refused=True, unreachable_at=None))
_FORGET = sql.Statement(
    delete(_inbox).where(_inbox.c.consumer == bindparam("consumer"), _inbox.c.event_id == bindparam("event_id"))
)
_undecided = (_consumer, ~_parked.c.refused, _parked.c.unreachable_at.is_(None))
_LAST = sql.Statement(select(func.max(_parked.c.id)).where(*_undecided))
_SUBJECTS = sql.Statement(
    select(_parked.c.subject)
    .where(*_undecided, _parked.c.id <= bindparam("last", type_=BigInteger))
    .order_by(_parked.c.id)
    .limit(bindparam("most"))
)
_UNREACHABLE = sql.Statement(
    update(_parked)
    .where(
        *_undecided,
        _parked.c.id <= bindparam("last", type_=BigInteger),
        _parked.c.subject == any_(bindparam("subjects", type_=ARRAY(Text))),
    )
    .values(unreachable_at=func.now())
    .returning(_parked.c.id)
)
MOST_COUNTED = 10_000


def _bounded_count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    some = select(_parked.c.consumer).where(*conditions).limit(MOST_COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


_COUNT = sql.Statement(
    select(_bounded_count(_consumer), _bounded_count(_consumer, _parked.c.unreachable_at.is_not(None)))
)
_LIST = sql.Statement(
    select(_parked)
    .where(_consumer, _parked.c.id > bindparam("after", type_=BigInteger))
    .order_by(_parked.c.id)
    .limit(bindparam("most"))
)


class ParkedEvent(sql.Row):
    """An event that waits. ``event_id``, ``sequence`` and ``value`` are None for a message that can't be read.

    ``kafka_offset`` is -1 where it is not known. ``refused``: it is in the dead letters. ``unreachable_at``: since when
    it is known that the consumer has passed every message that could have been its predecessor.
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
        """Whether this is the row of ``message``, of the event in it, or of the dead letter that it replays."""
        if event is not None and self.event_id is not None:
            return self.event_id == event.id
        return Origin(self.topic, self.partition, self.kafka_offset) == origin(message)


async def lock(connection: Connection) -> None:
    """Wait for all other consumer transactions of the database, and hold new ones back until this one ends."""
    await connection.execute(_LOCK)


async def add(
    connection: Connection, consumer: str, message: Message, event: CloudEvent | None, refused: bool = False
) -> None:
    """Park an event, or note that it is in the dead letters; ``event``: None where it can't be read."""
    came = origin(message)
    row = {
        "consumer": consumer,
        "subject": subject_of(message, event),
        "topic": came.topic,
        "partition": came.partition,
        "kafka_offset": came.offset,
        "event_id": event.id if event else None,
        "sequence": event.sequence if event else None,
        "value": message.value if event else None,
        "refused": refused,
    }
    await sql.run(connection, _ADD, row)


def subject_of(message: Message, event: CloudEvent | None) -> str:
    """The subject of an event; of a message that can't be read, its key, which is the subject."""
    return event.subject if event else (message.key or b"").decode(errors="replace")


async def of_subject(connection: Connection, consumer: str, subject: str) -> list[ParkedEvent]:
    """The events that a consumer has parked for a subject, in the order in which they came."""
    return await sql.many(connection, _OF_SUBJECT, {"consumer": consumer, "subject": subject}, ParkedEvent)


async def among(connection: Connection, consumer: str, subjects: Collection[str]) -> set[str]:
    """Those of ``subjects`` for which a consumer has parked events."""
    return set(await sql.values(connection, _AMONG, {"consumer": consumer, "subjects": list(set(subjects))}))


async def remove(connection: Connection, parked: ParkedEvent) -> None:
    """It was applied."""
    await sql.run(connection, _REMOVE, {"row": parked.id})


async def refuse(connection: Connection, consumer: str, parked: ParkedEvent) -> None:
    """Its handler refused it, and it is in the dead letters now: a replay counts as new."""
    await sql.run(connection, _REFUSE, {"row": parked.id})
    await sql.run(connection, _FORGET, {"consumer": consumer, "event_id": parked.event_id})


def is_blocked(queue: Iterable[ParkedEvent], topic: str, sequence: int) -> bool:
    """Whether an event of ``topic`` must wait behind one of ``queue``: an earlier one, or one that can't be read."""
    return any(each.topic == topic and (each.sequence is None or each.sequence < sequence) for each in queue)


def heads(queue: Collection[ParkedEvent]) -> list[ParkedEvent]:
    """The events of a subject to try next: of each topic the earliest, unless one in the dead letters is before it."""
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


async def last(connection: Connection, consumer: str) -> int | None:
    """The newest parked row that is not known to be unreachable; None where there is none."""
    found: int | None = await sql.value(connection, _LAST, {"consumer": consumer})
    return found


async def subjects(connection: Connection, consumer: str, last: int, limit: int) -> list[str]:
    """Subjects of the ``limit`` oldest rows up to ``last`` that are not known to be unreachable."""
    found = await sql.values(connection, _SUBJECTS, {"consumer": consumer, "last": last, "most": limit})
    return list(dict.fromkeys(found))


async def mark_unreachable(connection: Connection, consumer: str, subjects: Sequence[str], last: int) -> int:
    """Note that no predecessor can come for the rows of ``subjects`` up to ``last``; gives how many these are."""
    given = {"consumer": consumer, "subjects": list(subjects), "last": last}
    return len(await sql.values(connection, _UNREACHABLE, given))


async def counts(connection: Connection, consumer: str) -> tuple[int, int]:
    """How many events a consumer has parked, and how many of them are unreachable; each up to ``MOST_COUNTED``."""
    ((parked, unreachable),) = await sql.rows(connection, _COUNT, {"consumer": consumer})
    return parked, unreachable


async def listed(connection: Connection, consumer: str, after: int = 0, limit: int = 500) -> list[ParkedEvent]:
    """A page of a consumer's parked events, the oldest first, from behind row ``after``."""
    return await sql.many(connection, _LIST, {"consumer": consumer, "after": after, "most": limit}, ParkedEvent)
