"""The order in which waiting jobs start: by priority with ageing, and fair between customers.

Each priority is a fair queue: of the customers who wait in it, the one whose work so far weighs least goes next, so
a partner with a thousand models and one with a single model take turns (start-time fair queueing; Goyal, Vin and
Cheng, 1996). Between priorities age decides: a job counts as submitted :data:`HEAD_START_S` later than it was, so
express passes standard and standard passes bulk, until who is next there has waited that much longer. No job starves.

Pure: time comes in as an argument. Every operation is O(log n) in the jobs that wait.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from pricing_engine.distributed.jobs import JobPriority

HEAD_START_S = {JobPriority.EXPRESS: 0.0, JobPriority.STANDARD: 60.0, JobPriority.BULK: 600.0}
"""How much longer than an express job another must have waited to go before it."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the queue. ``weight``: the expected work, in any unit; ``submitted``: seconds on any clock."""

    key: str
    customer: str
    priority: JobPriority
    weight: float
    submitted: float
    waiting: bool = field(default=True, init=False)


@dataclass(slots=True)
class _Lane:
    """One priority: each customer's tickets in order of arrival, and who goes next."""

    of_customer: dict[str, deque[Ticket]] = field(default_factory=dict)
    turns: list[tuple[float, int, str]] = field(default_factory=list)  # virtual start, arrival, customer
    finish: dict[str, float] = field(default_factory=dict)  # virtual end of a customer's latest started ticket
    arrivals: deque[Ticket] = field(default_factory=deque)
    clock: float = 0.0  # virtual time
    room: int = 64  # entries of ``finish`` before those of the past are dropped
    waiting: int = 0


class FairQueue:
    """Tickets that wait."""

    def __init__(self) -> None:
        self._lanes = {priority: _Lane() for priority in JobPriority}
        self._count = 0

    def __len__(self) -> int:
        return sum(lane.waiting for lane in self._lanes.values())

    def length(self, priority: JobPriority) -> int:
        """How many tickets of ``priority`` wait."""
        return self._lanes[priority].waiting

    def oldest(self, priority: JobPriority) -> float | None:
        """When the ticket of ``priority`` that waits longest was submitted."""
        lane = self._lanes[priority]
        while lane.arrivals and not lane.arrivals[0].waiting:
            lane.arrivals.popleft()
        return lane.arrivals[0].submitted if lane.arrivals else None

    def push(self, ticket: Ticket) -> None:
        """Put ``ticket`` in line."""
        lane = self._lanes[ticket.priority]
        line = lane.of_customer.get(ticket.customer)
        if line is None:
            line = lane.of_customer[ticket.customer] = deque()
            # Who was idle begins at the lane's clock: waiting for nothing earns no credit.
            self._take_turn(lane, ticket.customer, max(lane.clock, lane.finish.get(ticket.customer, 0.0)))
        line.append(ticket)
        lane.arrivals.append(ticket)
        lane.waiting += 1

    def withdraw(self, ticket: Ticket) -> None:
        """Take ``ticket`` out of line; nothing happens if it is not there any more."""
        if ticket.waiting:
            ticket.waiting = False
            self._lanes[ticket.priority].waiting -= 1

    def pop(
        self, allowed: tuple[JobPriority, ...] = tuple(JobPriority), without: Collection[str] = frozenset()
    ) -> Ticket | None:
        """The ticket that goes next, of the priorities ``allowed`` and of no customer in ``without``; None when none
        waits. O(log n) for each customer left out.
        """
        put_back = [(self._lanes[priority], self._take_out(self._lanes[priority], without)) for priority in allowed]
        heads = [head for priority in allowed if (head := self._head(self._lanes[priority])) is not None]
        ticket = min(heads, key=lambda head: head.submitted + HEAD_START_S[head.priority], default=None)
        if ticket is not None:
            self._start(self._lanes[ticket.priority], ticket)
        for lane, turns in put_back:
            for turn in turns:
                heapq.heappush(lane.turns, turn)
        return ticket

    def _take_out(self, lane: _Lane, customers: Collection[str]) -> list[tuple[float, int, str]]:
        """Take the turns of ``customers`` that come before the first other one out of ``lane``; gives them."""
        taken: list[tuple[float, int, str]] = []
        while customers and (head := self._head(lane)) is not None and head.customer in customers:
            taken.append(heapq.heappop(lane.turns))
        return taken

    @staticmethod
    def _head(lane: _Lane) -> Ticket | None:
        """Whose turn it is in ``lane``."""
        while lane.turns:
            customer = lane.turns[0][2]
            line = lane.of_customer[customer]
            while line and not line[0].waiting:
                line.popleft()
            if line:
                return line[0]
            heapq.heappop(lane.turns)
            del lane.of_customer[customer]
        return None

    def _start(self, lane: _Lane, ticket: Ticket) -> None:
        """Take ``ticket``, the head of ``lane``, out of line and let the others move up."""
        begin, _, customer = heapq.heappop(lane.turns)
        # The clock moves as if all who wait were served at once, each with the same share.
        lane.clock = max(lane.clock, begin) + ticket.weight / len(lane.of_customer)
        lane.finish[customer] = begin + ticket.weight
        self.withdraw(ticket)
        line = lane.of_customer[customer]
        line.popleft()
        if line:
            self._take_turn(lane, customer, lane.finish[customer])
        else:
            del lane.of_customer[customer]
        if len(lane.finish) > lane.room:  # memory follows those who wait, not all who ever came
            lane.finish = {who: end for who, end in lane.finish.items() if end > lane.clock}
            lane.room = 2 * len(lane.finish) + 64

    def _take_turn(self, lane: _Lane, customer: str, begin: float) -> None:
        self._count += 1
        heapq.heappush(lane.turns, (begin, self._count, customer))
