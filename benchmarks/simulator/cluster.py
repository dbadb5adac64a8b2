"""The simulated cluster: a head with the product's fair queue, and nodes whose CPUs run tasks to completion.

Ray has no priorities, so the head limits the number of tasks in flight; those beyond the busy CPUs wait in Ray, first
in, first out. Events are SimPy's; the hot path adds callbacks to its timeouts instead of starting a process per task,
which costs three events instead of one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil

import simpy

from benchmarks.simulator.errors import require
from benchmarks.simulator.plan import Phase
from pricing_engine.distributed.fair_queue import FairQueue, Ticket
from pricing_engine.distributed.jobs import JobPriority


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Parameters of the machines.

    ``job_s``: the head's time per job, sequentially; ``task_s``: overhead of sending a task and fetching its result;
    ``cold_s``: extra time of a worker's first task; ``in_flight``: tasks sent per CPU that is up.
    """

    cpus: int = 8
    boot_s: float = 90.0
    cold_s: float = 2.5
    job_s: float = 0.005
    task_s: float = 0.001
    in_flight: float = 1.0

    def __post_init__(self) -> None:
        """Raise ParameterError if a parameter is out of its range."""
        require(self.cpus >= 1, "cpus", self.cpus, "1 or more")
        require(self.in_flight >= 1, "in_flight", self.in_flight, "1 or more tasks for each CPU")
        for name in ("boot_s", "cold_s", "job_s", "task_s"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 s or more")


@dataclass(slots=True, eq=False)
class Job:
    """A model to price. ``quote_s``, from arrival to the end of its last task, is set then, and ``phases`` cleared."""

    arrival: float
    priority: JobPriority
    customer: str
    phases: tuple[Phase, ...]
    phase: int = -1
    remaining_tasks: int = 0
    quote_s: float = -1.0


class Task(Ticket):
    """One task of a job in the queue; its weight is its duration in seconds on a warm CPU."""

    __slots__ = ("job",)

    def __init__(self, job: Job, seconds: float) -> None:
        super().__init__("", job.customer, job.priority, seconds, job.arrival)
        self.job = job


@dataclass(slots=True, eq=False)
class Node:
    """A machine, from its request until its release.

    ``cold``: its CPUs that have run no task yet. ``draining``: it gets no more tasks and is released after its last.
    """

    number: int
    ordered_at: float
    busy: int = 0
    idle_since: float = 0.0
    cold: int = 0
    draining: bool = False


class Cluster:
    """Runs jobs on nodes and keeps statistics."""

    def __init__(self, env: simpy.Environment, settings: ClusterSettings, nodes: int) -> None:
        """Start with ``nodes`` that are up and warm."""
        require(nodes >= 0, "nodes", nodes, "0 or more")
        self.env, self.settings = env, settings
        self.submitted = self.finished = self.tasks_finished = 0
        self.busy_cpus = self.in_flight = self.booting = self.draining = 0
        self.busy_s = self.waiting_s = self.node_s = self.job_area_s = 0.0
        self.up: dict[int, Node] = {}
        self._queue = FairQueue()
        self._sent: deque[Task] = deque()
        self._free: list[
            int
        ] = []  # a node's number for each of its free CPUs: low numbers first, so the last ones idle
        self._head_free_at = env.now
        self._counted_at = env.now
        self._created = 0
        for _ in range(nodes):
            self._join(self._create_node(), cold=0)

    @property
    def nodes(self) -> int:
        """Nodes that take tasks now or later: up and not draining, or booting."""
        return len(self.up) - self.draining + self.booting

    def submit(self, job: Job) -> None:
        """Submit ``job`` now."""
        self._count_jobs(1)
        self.waiting_s += sum(map(sum, job.phases))
        self._head_free_at = max(self._head_free_at, self.env.now) + self.settings.job_s
        self._after(self._head_free_at - self.env.now, partial(self._admit, job))

    def launch(self, count: int) -> None:
        """Request ``count`` nodes; they are up, and cold, after the boot time."""
        for _ in range(count):
            self.booting += 1
            self.env.process(self._boot(self._create_node()))

    def release_idle(self, idle_s: float, count: int) -> None:
        """Release up to ``count`` nodes that have been idle for ``idle_s``, the latest first."""
        idle = [n for n in reversed(self.up.values()) if not n.busy and self.env.now - n.idle_since >= idle_s]
        for node in idle[:count]:
            self._drain(node)

    def drain(self, count: int) -> None:
        """Drain the latest ``count`` nodes: they take no more tasks and are released after their last."""
        for node in [n for n in reversed(self.up.values()) if not n.draining][:count]:
            self._drain(node)

    def close(self) -> None:
        """Update the time integrals to now."""
        self._count_jobs(0)
        for node in self.up.values():
            self.node_s += self.env.now - node.ordered_at
            node.ordered_at = self.env.now

    def _create_node(self) -> Node:
        self._created += 1
        return Node(self._created, self.env.now)

    def _boot(self, node: Node) -> simpy.events.ProcessGenerator:
        yield self.env.timeout(self.settings.boot_s)
        self.booting -= 1
        self._join(node, cold=self.settings.cpus)
        self._send()

    def _drain(self, node: Node) -> None:
        node.draining = True
        self.draining += 1
        self._free = [number for number in self._free if number != node.number]
        heapq.heapify(self._free)
        if not node.busy:
            self._remove(node)

    def _remove(self, node: Node) -> None:
        del self.up[node.number]
        self.draining -= 1
        self.node_s += self.env.now - node.ordered_at

    def _join(self, node: Node, cold: int) -> None:
        node.cold, node.idle_since = cold, self.env.now
        self.up[node.number] = node
        for _ in range(self.settings.cpus):
            if self._sent:
                self._run(self._sent.popleft(), node.number)
            else:
                heapq.heappush(self._free, node.number)

    def _admit(self, job: Job) -> None:
        self._next_phase(job)
        self._send()

    def _next_phase(self, job: Job) -> None:
        job.phase += 1
        if job.phase == len(job.phases):
            job.quote_s = self.env.now - job.arrival
            job.phases = ()
            self._count_jobs(-1)
            return
        job.remaining_tasks = len(job.phases[job.phase])
        for seconds in job.phases[job.phase]:
            self._queue.push(Task(job, seconds))

    def _send(self) -> None:
        """Send tasks up to the limit in flight, in the fair queue's order."""
        bound = ceil(self.settings.in_flight * self.settings.cpus * (len(self.up) - self.draining))
        while self.in_flight < bound:
            task = self._queue.pop()
            if task is None:
                return
            assert isinstance(task, Task)
            self.in_flight += 1
            if self._free:
                self._run(task, heapq.heappop(self._free))
            else:
                self._sent.append(task)

    def _run(self, task: Task, number: int) -> None:
        node, seconds = self.up[number], task.weight + self.settings.task_s
        if node.cold:
            node.cold -= 1
            seconds += self.settings.cold_s
        node.busy += 1
        self.busy_cpus += 1
        self.busy_s += seconds
        self.waiting_s -= task.weight
        self._after(seconds, partial(self._finish, task, node))

    def _finish(self, task: Task, node: Node) -> None:
        self.tasks_finished += 1
        self.in_flight -= 1
        self.busy_cpus -= 1
        node.busy -= 1
        task.job.remaining_tasks -= 1
        if not task.job.remaining_tasks:
            self._next_phase(task.job)
        if node.draining:
            if not node.busy:
                self._remove(node)
        elif self._sent:
            self._run(self._sent.popleft(), node.number)
        else:
            heapq.heappush(self._free, node.number)
            node.idle_since = self.env.now
        self._send()

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self.env.timeout(seconds).callbacks.append(lambda _: call())

    def _count_jobs(self, change: int) -> None:
        """Update the integral of the jobs in the system over time, for Little's law."""
        self.job_area_s += (self.submitted - self.finished) * (self.env.now - self._counted_at)
        self._counted_at = self.env.now
        if change > 0:
            self.submitted += 1
        elif change < 0:
            self.finished += 1
