"""Queue of waiting jobs: by priority with ageing, and fair between customers.

Each priority is a fair queue: the waiting customer with the least work so far is served next, so a partner with a
thousand models and one with a single model alternate (start-time fair queueing; Goyal, Vin and Cheng, 1996). Between
priorities age decides: a job counts as submitted :data:`HEAD_START_S` later than it was, so express precedes standard
and standard precedes bulk, unless the other has waited that much longer. No job starves.

Pure: the time is an argument. Every operation is O(log n) in the number of waiting jobs.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from pricing_engine.distributed.jobs import JobPriority

HEAD_START_S = {JobPriority.EXPRESS: 0.0, JobPriority.STANDARD: 60.0, JobPriority.BULK: 600.0}
"""How much longer than an express job another must have waited to precede it."""


@dataclass(slots=True, eq=False)
class Ticket:
    """An entry of the queue. ``weight``: the expected work, in any unit; ``submitted``: seconds on any clock."""

    key: str
    customer: str
    priority: JobPriority
    weight: float
    submitted: float
    waiting: bool = field(default=True, init=False)


@dataclass(slots=True)
class _PriorityQueue:
    """One priority: each customer's tickets in order of arrival, and a heap of customers by virtual start."""

    of_customer: dict[str, deque[Ticket]] = field(default_factory=dict)
    heap: list[tuple[float, int, str]] = field(default_factory=list)  # virtual start, arrival, customer
    finish_of: dict[str, float] = field(default_factory=dict)  # virtual end of a customer's last started ticket
    arrivals: deque[Ticket] = field(default_factory=deque)
    clock: float = 0.0  # virtual time
    max_finish: int = 64  # size of ``finish_of`` from which past entries are dropped
    waiting: int = 0


class FairQueue:
    """Fair queue of tickets over all priorities."""

    def __init__(self) -> None:
        self._queues = {priority: _PriorityQueue() for priority in JobPriority}
        self._count = 0

    def __len__(self) -> int:
        return sum(queue.waiting for queue in self._queues.values())

    def length(self, priority: JobPriority) -> int:
        """Return the number of waiting tickets of ``priority``."""
        return self._queues[priority].waiting

    def oldest(self, priority: JobPriority) -> float | None:
        """Return the submission time of the oldest waiting ticket of ``priority``."""
        queue = self._queues[priority]
        while queue.arrivals and not queue.arrivals[0].waiting:
            queue.arrivals.popleft()
        return queue.arrivals[0].submitted if queue.arrivals else None

    def push(self, ticket: Ticket) -> None:
        """Add ``ticket``."""
        queue = self._queues[ticket.priority]
        tickets = queue.of_customer.get(ticket.customer)
        if tickets is None:
            tickets = queue.of_customer[ticket.customer] = deque()
            # A customer that was idle starts at the queue's clock: idle time earns no credit.
            self._push_customer(queue, ticket.customer, max(queue.clock, queue.finish_of.get(ticket.customer, 0.0)))
        tickets.append(ticket)
        queue.arrivals.append(ticket)
        queue.waiting += 1

    def withdraw(self, ticket: Ticket) -> None:
        """Remove ``ticket``; does nothing if it no longer waits."""
        if ticket.waiting:
            ticket.waiting = False
            self._queues[ticket.priority].waiting -= 1

    def pop(
        self, allowed: tuple[JobPriority, ...] = tuple(JobPriority), excluded: Collection[str] = frozenset()
    ) -> Ticket | None:
        """Remove and return the next ticket of the priorities ``allowed`` and of no customer in ``excluded``, if any.

        O(log n) for each excluded customer.
        """
        skipped = [(self._queues[priority], self._skip(self._queues[priority], excluded)) for priority in allowed]
        heads = [head for priority in allowed if (head := self._head(self._queues[priority])) is not None]
        ticket = min(heads, key=lambda head: head.submitted + HEAD_START_S[head.priority], default=None)
        if ticket is not None:
            self._start(self._queues[ticket.priority], ticket)
        for queue, heap in skipped:
            for entry in heap:
                heapq.heappush(queue.heap, entry)
        return ticket

    def _skip(self, queue: _PriorityQueue, customers: Collection[str]) -> list[tuple[float, int, str]]:
        """Remove and return the heap entries of ``customers`` that precede the first other one."""
        skipped: list[tuple[float, int, str]] = []
        while customers and (head := self._head(queue)) is not None and head.customer in customers:
            skipped.append(heapq.heappop(queue.heap))
        return skipped

    @staticmethod
    def _head(queue: _PriorityQueue) -> Ticket | None:
        """Return the next ticket of ``queue``."""
        while queue.heap:
            customer = queue.heap[0][2]
            tickets = queue.of_customer[customer]
            while tickets and not tickets[0].waiting:
                tickets.popleft()
            if tickets:
                return tickets[0]
            heapq.heappop(queue.heap)
            del queue.of_customer[customer]
        return None

    def _start(self, queue: _PriorityQueue, ticket: Ticket) -> None:
        """Remove ``ticket``, the head of ``queue``, and advance its virtual clock."""
        virtual_start, _, customer = heapq.heappop(queue.heap)
        # The clock advances as if all waiting customers were served at the same time, with equal shares.
        queue.clock = max(queue.clock, virtual_start) + ticket.weight / len(queue.of_customer)
        queue.finish_of[customer] = virtual_start + ticket.weight
        self.withdraw(ticket)
        tickets = queue.of_customer[customer]
        tickets.popleft()
        if tickets:
            self._push_customer(queue, customer, queue.finish_of[customer])
        else:
            del queue.of_customer[customer]
        if len(queue.finish_of) > queue.max_finish:  # memory is bounded by waiting customers, not by all past ones
            queue.finish_of = {
                customer: virtual_end for customer, virtual_end in queue.finish_of.items() if virtual_end > queue.clock
            }
            queue.max_finish = 2 * len(queue.finish_of) + 64

    def _push_customer(self, queue: _PriorityQueue, customer: str, virtual_start: float) -> None:
        self._count += 1
        heapq.heappush(queue.heap, (virtual_start, self._count, customer))
