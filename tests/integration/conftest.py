"""One private Ray cluster, started once, shared by all integration tests and ended by pid after the last."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping

import pytest

from cluster.local.here import Cluster, Node, local_cluster, speak_to

AddNode = Callable[..., Node]


@pytest.fixture(scope="session", autouse=True)
def leave_nothing_when_told_to_end() -> Iterator[None]:
    """SIGTERM, as a time limit around the tests sends it, ends them like Ctrl-C: with what they started."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The shared cluster with its parts: a head with two CPUs. This process is set up to speak to it."""
    with local_cluster(tmp_path_factory.mktemp("ray"), cpus=2) as cluster, pytest.MonkeyPatch.context() as environment:
        for name in cluster.environment():
            environment.delenv(name, raising=False)  # so that the end of the session puts back what was there
        speak_to(cluster)
        yield cluster
        import ray

        ray.shutdown()


@pytest.fixture(scope="session")
def ray_cluster(ray_here: Cluster) -> str:
    """Address of the shared cluster's head, for ``ray.init(address=...)``."""
    return ray_here.address


@pytest.fixture
def add_ray_node(ray_here: Cluster) -> Iterator[AddNode]:
    """A function that adds a node to the shared cluster: ``add(cpus, resources=None) -> Node``; gone after the test."""
    added: list[Node] = []

    def add(cpus: float, resources: Mapping[str, float] | None = None) -> Node:
        added.append(ray_here.add_node(cpus, resources))
        return added[-1]

    yield add
    for node in added:
        ray_here.remove_node(node)
