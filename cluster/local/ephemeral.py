"""Servers and a cluster of this process's own: started here, ended here. For tests and measurements; people use
``facet up``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cluster.autoscaling import OneMachine
from cluster.local import parts, ray_nodes, sessions
from cluster.local.parts import Part
from cluster.local.reaper import Reaper
from cluster.local.sessions import Session


@dataclass(frozen=True, slots=True)
class Node:
    """A running Ray node."""

    part: Part
    session: Session


@dataclass(slots=True)
class Cluster:
    """A running cluster: where it answers, and its nodes in the order they came."""

    place: ray_nodes.Place
    address: str
    dashboard: str
    guardian: Reaper
    nodes: list[Node] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    def add_node(self, cpus: float, resources: Mapping[str, float] | None = None) -> Node:
        """Start a further node and wait until its raylet is well; raises PartFailed."""
        name = f"node-{next(self._numbers)}"
        return self.run(ray_nodes.worker(self.place, self.address, name, cpus, resources))

    def remove_node(self, node: Node) -> None:
        """End every process of the node, as if its machine had gone."""
        sessions.end(node.session, grace_s=0)

    def environment(self) -> dict[str, str | None]:
        """What a process needs in its environment to speak to this cluster; None: must not be set."""
        return ray_nodes.client_environment(self.place.token)

    def run(self, part: Part) -> Node:
        """Start a node's part, guarded, and wait until it is ready; raises PartFailed."""
        node = Node(part, parts.spawn(part))
        self.guardian.watch(node.session)
        parts.wait_until_ready(part, node.session)
        self.nodes.append(node)
        return node


@dataclass(slots=True)
class Server:
    """A running server, which can be killed and started anew on the same port with the same data."""

    part: Part
    session: Session
    guardian: Reaper

    @property
    def address(self) -> str:
        """``host:port``."""
        return self.part.address

    def kill(self) -> None:
        """SIGKILL to every process of it, as if the power had gone."""
        sessions.end(self.session, grace_s=0)

    def start(self) -> None:
        """Start it anew and wait until it is ready; raises PartFailed."""
        self.session = parts.spawn(self.part)
        self.guardian.watch(self.session)
        parts.wait_until_ready(self.part, self.session)


@contextmanager
def running(part: Part) -> Iterator[Server]:
    """The part's server, ended at the end of the block and when this process dies; raises PartFailed."""
    guardian = Reaper()
    try:
        session = parts.spawn(part)
        guardian.watch(session)
        parts.wait_until_ready(part, session)
        server = Server(part, session, guardian)
        yield server
        sessions.end(server.session, part.grace_s, part.end_by)
    finally:
        guardian.end()


@contextmanager
def local_cluster(folder: Path, cpus: float, scaling: OneMachine | None = None) -> Iterator[Cluster]:
    """A cluster with one head of ``cpus`` CPUs, its logs and token in ``folder``.

    It ends with all its nodes at the end of the block, and when this process dies. Raises PartFailed where the head
    can't start.
    """
    place = ray_nodes.make_place(folder)
    guardian = Reaper(place.temp, place.token)
    try:
        head = ray_nodes.head(place, cpus, scaling)
        cluster = Cluster(place, head.address, ray_nodes.dashboard_url(head), guardian)
        cluster.run(head)
        yield cluster
    finally:
        guardian.end()


def speak_to(cluster: Cluster) -> None:
    """Let this process and those it starts speak to ``cluster``, also where Ray has been imported already."""
    for name, value in cluster.environment().items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")  # Ray reads its environment once; this makes it read again
    AuthenticationTokenLoader.instance().reset_cache()
