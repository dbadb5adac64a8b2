"""Private servers, each started once when the first test asks, shared by all, and ended by pid after the last."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping

import pytest

from cluster.local import kafka, postgres, redis
from cluster.local.ephemeral import Cluster, Node, Server, local_cluster, running, use_cluster
from cluster.local.passwords import Passwords

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
        use_cluster(cluster)
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


@pytest.fixture(scope="session")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Passwords:
    """Of the servers of this session."""
    return Passwords(tmp_path_factory.mktemp("passwords") / "passwords.json")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory, passwords: Passwords) -> Iterator[Server]:
    """PostgreSQL with a database and a role for each service."""
    folder = tmp_path_factory.mktemp("postgresql")
    with running(postgres.part(folder, folder, passwords)) as server:
        yield server


@pytest.fixture(scope="session")
def database_urls(postgres_server: Server, passwords: Passwords) -> dict[str, str]:
    """The URL of each service's database."""
    return postgres.urls(postgres_server.address, passwords)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory, passwords: Passwords) -> Iterator[Server]:
    """Redis."""
    folder = tmp_path_factory.mktemp("redis")
    with running(redis.part(folder, folder, passwords)) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Apache Kafka without topics: a test makes its own, under names of its own."""
    folder = tmp_path_factory.mktemp("kafka")
    with running(kafka.part(folder, folder, [], print)) as server:
        yield server
