"""Whose turn it is: what a service does with an event of another one, which may come early, late, or crossed with a
step of its own.

Statuses change in one service at a time but for crossings, and each event says how often the status had changed
(``revision``), so a service sees whether it has missed a step that is still on its way on another topic. Answers of
pricing have no revision; their quote's id, which sorts by time, says which submission they answer.
"""

from __future__ import annotations

from enum import Enum
from uuid import UUID

from data.contracts.common import OrderEvent
from data.contracts.envelope import EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus
from data.contracts.pricing import QuoteEvent
from data.contracts.registry import EVENTS


class Turn(Enum):
    """What to do: take its step; wait for what comes before it; or leave it, for it has been overtaken."""

    TAKE = "take"
    WAIT = "wait"
    LEAVE = "leave"


def turn(status: OrderStatus, revision: int, quote_id: UUID | None, data: EventData) -> Turn:
    """What to do with an event of another service, for an order as this service knows it."""
    step = EVENTS[data.event_type()].step
    if status in FINAL or step is None:
        return Turn.LEAVE
    legal = (status, step) in GRAPH
    if isinstance(data, QuoteEvent):
        if quote_id is None or data.quote_id > quote_id:
            return Turn.WAIT  # the submission that it answers has not come yet
        return Turn.TAKE if legal and data.quote_id == quote_id else Turn.LEAVE
    if isinstance(data, OrderEvent) and data.revision is not None and data.revision > revision + 1:
        return Turn.WAIT
    if legal:
        return Turn.TAKE
    early = isinstance(data, OrderEvent) and data.revision is not None and data.revision == revision + 1
    return Turn.WAIT if early else Turn.LEAVE
