"""Private servers: each is started when the first test requests it, shared, and ended by pid after the last test."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator, Mapping

import psycopg
import pytest

from cluster.local import kafka, postgres, redis
from cluster.local.ephemeral import Cluster, Node, Server, local_cluster, running, use_cluster
from cluster.local.passwords import Passwords
from data.kit import kafka as kafka_client
from data.kit import migrate
from data.kit.settings import SERVICES, DataSettings

AddNode = Callable[..., Node]
SETTINGS = DataSettings()


@pytest.fixture(scope="session", autouse=True)
def end_servers_on_sigterm() -> Iterator[None]:
    """End the tests on SIGTERM, which a time limit sends, like on Ctrl-C: with all servers that they started."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="package")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the shared cluster: a head with two CPUs. This process is configured to connect to it."""
    with local_cluster(tmp_path_factory.mktemp("ray"), cpus=2) as cluster, pytest.MonkeyPatch.context() as environment:
        for name in cluster.environment():
            environment.delenv(name, raising=False)  # restored at the end of the session
        use_cluster(cluster)
        yield cluster
        import ray

        ray.shutdown()


@pytest.fixture(scope="package")
def ray_cluster(shared_ray: Cluster) -> str:
    """Return the address of the shared cluster's head, for ``ray.init(address=...)``."""
    return shared_ray.address


@pytest.fixture
def add_ray_node(shared_ray: Cluster) -> Iterator[AddNode]:
    """Yield a function that adds a node to the shared cluster until the test ends."""
    added: list[Node] = []

    def add(cpus: float, resources: Mapping[str, float] | None = None) -> Node:
        added.append(shared_ray.add_node(cpus, resources))
        return added[-1]

    yield add
    for node in added:
        shared_ray.remove_node(node)


@pytest.fixture(scope="package")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Passwords:
    """Return the passwords of the servers of this session."""
    return Passwords(tmp_path_factory.mktemp("passwords") / "passwords.json")


@pytest.fixture(scope="package")
def postgres_server(tmp_path_factory: pytest.TempPathFactory, passwords: Passwords) -> Iterator[Server]:
    """Yield a PostgreSQL server with a database and a role for each service."""
    folder = tmp_path_factory.mktemp("postgresql")
    with running(postgres.part(folder, folder, passwords)) as server:
        yield server


@pytest.fixture(scope="package")
def database_urls(postgres_server: Server, passwords: Passwords) -> dict[str, str]:
    """Return the URL of each service's database on the server of this session."""
    return postgres.urls(postgres_server.address, passwords)


@pytest.fixture(scope="package")
def redis_server(tmp_path_factory: pytest.TempPathFactory, passwords: Passwords) -> Iterator[Server]:
    """Yield a Redis server."""
    folder = tmp_path_factory.mktemp("redis")
    with running(redis.part(folder, folder, passwords)) as server:
        yield server


@pytest.fixture(scope="package")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a real Apache Kafka without topics: each test creates topics under names of its own."""
    folder = tmp_path_factory.mktemp("kafka")
    with running(kafka.part(folder, folder, [], print)) as server:
        yield server
        server.kill()  # an orderly end takes seconds, and its data are not needed


@pytest.fixture(scope="package")
def service_urls(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the URL of each service's database."""
    if SETTINGS.shop_database_url:
        return {service: SETTINGS.database_url(service) for service in SERVICES}
    urls: dict[str, str] = request.getfixturevalue("database_urls")
    return urls


@pytest.fixture(scope="package")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Return the broker's address."""
    return SETTINGS.kafka_url or str(request.getfixturevalue("kafka_server").address)


@pytest.fixture
def migrated(service_urls: dict[str, str]) -> Callable[[str], str]:
    """Return a function that migrates a service's database to the newest version, empties it and returns its URL."""

    def empty(service: str) -> str:
        url = service_urls[service]
        migrate.up(url, service)
        with psycopg.connect(url, autocommit=True) as connection:
            names = ", ".join(migrate.tables(service).tables)
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY".encode())
        return url

    return empty


@pytest.fixture
def shop_url(migrated: Callable[[str], str]) -> str:
    """Return the URL of the shop's database, empty."""
    return migrated("shop")


@pytest.fixture
async def topic(bootstrap: str) -> str:
    """Create a topic for one test; return its name."""
    name = f"test-{uuid.uuid4().hex}"
    await kafka_client.ensure_topics(bootstrap, [name], partitions=3)
    return name
