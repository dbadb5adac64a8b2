"""The outbox: events are written in the transaction of the change they report, and published by the relay afterwards.

The sequence of a (source, subject) is a row that the transaction locks and increments, so it has no gaps (a rollback
reverts it), and events of a subject commit in the order of their sequences and of their outbox ids.
"""

from __future__ import annotations

import json

from sqlalchemy import Text, Update, bindparam, cast, func, literal, select
from sqlalchemy.dialects.postgresql import Insert, insert

from data.contracts.envelope import EventData
from data.kit import clock, sql, trace
from data.kit.database import Connection
from data.kit.ids import new_id
from data.kit.tables import SHARED

_json = json.JSONEncoder(separators=(",", ":")).encode
_sequences, _outbox = SHARED.sequences, SHARED.outbox
_first = insert(_sequences).values(source=bindparam("source"), subject=bindparam("subject"), last=1)
_next = (
    _first.on_conflict_do_update(
        index_elements=[_sequences.c.source, _sequences.c.subject], set_={"last": _sequences.c.last + 1}
    )
    .returning(_sequences.c.last)
    .cte("next")
)


def with_event(*writes: Insert | Update) -> sql.Statement:
    """Return one statement of ``writes``, which see nothing of each other, that also writes an event into the outbox.

    It costs client and server far less than a statement for each. Takes the parameters of all of them and
    :func:`parameters`.
    """
    # Only the statement has the sequence, so it writes it into the JSON text, as the first member.
    append = insert(_outbox).from_select(
        ["topic", "subject", "value"],
        select(
            bindparam("topic", type_=Text),
            bindparam("subject", type_=Text),
            literal('{"sequence":', Text).concat(cast(_next.c.last, Text)).concat(bindparam("members", type_=Text)),
        ),
    )
    return sql.Statement(append.add_cte(*(write.cte(f"write_{n}") for n, write in enumerate(writes))))


APPEND = with_event()


COUNT_UNPUBLISHED = sql.Statement(select(func.count()).select_from(_outbox))
"""The number of events that are not published yet."""


async def append(connection: Connection, *events: EventData) -> None:
    """Write events into the outbox within the caller's transaction, in this order."""
    for event in events:
        await sql.run(connection, APPEND, parameters(event))


def parameters(event: EventData) -> dict[str, str]:
    """Return the parameters of :func:`with_event` for an event; sets id, time and trace of its envelope."""
    attributes = {
        "specversion": "1.0",
        "id": str(new_id()),
        "source": event.SOURCE,
        "type": event.event_type(),
        "subject": event.subject,
        "time": clock.now().isoformat(),
        "datacontenttype": "application/json",
        "traceparent": trace.traceparent(),
    }
    members = f',{_json(attributes)[1:-1]},"data":{event.model_dump_json()}}}'
    return {"source": event.SOURCE, "subject": event.subject, "topic": event.topic, "members": members}
