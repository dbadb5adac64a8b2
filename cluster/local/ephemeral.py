"""Ephemeral servers and clusters that stop with this process, for tests and benchmarks; users run ``facet up``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cluster.autoscaling import FakeMultiNode
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
    """A running cluster: its address, and its nodes in the order in which they were added."""

    paths: ray_nodes.ClusterPaths
    address: str
    reaper: Reaper
    nodes: list[Node] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    def add_node(self, cpus: float, resources: Mapping[str, float] | None = None) -> Node:
        """Start another node and wait until its raylet is healthy; raises PartFailed."""
        name = f"node-{next(self._numbers)}"
        return self.run(ray_nodes.worker(self.paths, self.address, name, cpus, resources))

    def remove_node(self, node: Node) -> None:
        """Kill every process of the node, as if its machine had crashed."""
        sessions.stop(node.session, grace_s=0)

    def environment(self) -> dict[str, str | None]:
        """Return the environment a process needs to connect to this cluster; None: must not be set."""
        return ray_nodes.client_environment(self.paths.token)

    def run(self, part: Part) -> Node:
        """Start a node's part under the reaper and wait until it is ready; raises PartFailed."""
        node = Node(part, parts.spawn(part))
        self.reaper.watch(node.session)
        parts.wait_until_ready(part, node.session)
        self.nodes.append(node)
        return node


@dataclass(slots=True)
class Server:
    """A running server, which can be killed and restarted on the same port with the same data."""

    part: Part
    session: Session
    reaper: Reaper

    @property
    def address(self) -> str:
        """``host:port``."""
        return self.part.address

    def kill(self) -> None:
        """Send SIGKILL to all its processes, as in a power failure."""
        sessions.stop(self.session, grace_s=0)

    def start(self) -> None:
        """Restart it and wait until it is ready; raises PartFailed."""
        self.session = parts.spawn(self.part)
        self.reaper.watch(self.session)
        parts.wait_until_ready(self.part, self.session)


@contextmanager
def running(part: Part) -> Iterator[Server]:
    """Run the part's server; stop it at the end of the block and when this process dies. Raises PartFailed."""
    reaper = Reaper()
    try:
        session = parts.spawn(part)
        reaper.watch(session)
        parts.wait_until_ready(part, session)
        server = Server(part, session, reaper)
        yield server
        sessions.stop(server.session, part.grace_s, part.stop_signal)
    finally:
        reaper.close()


@contextmanager
def local_cluster(folder: Path, cpus: float, scaling: FakeMultiNode | None = None) -> Iterator[Cluster]:
    """Run a cluster with one head of ``cpus`` CPUs and without a dashboard, its logs and token in ``folder``.

    It stops with all its nodes at the end of the block, and when this process dies. Raises PartFailed if the head
    can't start.
    """
    paths = ray_nodes.make_paths(folder)
    reaper = Reaper(paths.temp, paths.token)
    try:
        head = ray_nodes.head(paths, cpus, scaling, with_dashboard=False)
        cluster = Cluster(paths, head.address, reaper)
        cluster.run(head)
        yield cluster
    finally:
        reaper.close()


def use_cluster(cluster: Cluster) -> None:
    """Configure this process and its children to connect to ``cluster``, even if Ray is already imported."""
    for name, value in cluster.environment().items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")  # Ray reads its environment once; read it again
    AuthenticationTokenLoader.instance().reset_cache()
