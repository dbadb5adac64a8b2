"""A cluster of this process's own: started here, ended here. For tests and measurements; people use ``facet up``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.local import parts, ray_nodes, sessions
from cluster.local.parts import Part
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
    nodes: list[Node] = field(default_factory=list)

    def add_node(self, cpus: float, resources: Mapping[str, float] | None = None) -> Node:
        """Start a further node and wait until its raylet is well; raises PartFailed."""
        name = f"node-{len(self.nodes)}"
        part = ray_nodes.worker(self.place, self.address, name, cpus, resources)
        self.nodes.append(Node(part, parts.start(part)))
        return self.nodes[-1]

    def remove_node(self, node: Node) -> None:
        """End every process of the node, as if its machine had gone."""
        sessions.end(node.session, grace_s=0)

    def environment(self) -> dict[str, str | None]:
        """What a process needs in its environment to speak to this cluster; None: must not be set."""
        return ray_nodes.client_environment(self.place.token)


@contextmanager
def local_cluster(folder: Path, cpus: float, autoscaling_config: Path | None = None) -> Iterator[Cluster]:
    """A cluster with one head of ``cpus`` CPUs, its logs and token in ``folder``; ended with all nodes at the end.

    Raises PartFailed where the head can't start.
    """
    place = ray_nodes.make_place(folder)
    try:
        part = ray_nodes.head(place, cpus, autoscaling_config)
        cluster = Cluster(place, part.address, ray_nodes.dashboard_url(part))
        try:
            cluster.nodes.append(Node(part, parts.start(part)))
            yield cluster
        finally:
            for node in reversed(cluster.nodes):
                sessions.end(node.session, node.part.grace_s)
    finally:
        shutil.rmtree(place.temp)
        place.token.unlink()


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
