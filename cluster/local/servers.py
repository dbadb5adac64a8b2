"""The servers that the services need, as parts of the local stack, except those that a FACET_*_URL configures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cluster.local import kafka, mock_kafka, postgres, redis
from cluster.local.jars import JarsMissing
from cluster.local.parts import Part
from cluster.local.passwords import Passwords
from data.kit.settings import SERVICES

KAFKA_URL, REDIS_URL = "FACET_KAFKA_URL", "FACET_REDIS_URL"
DATABASE_URLS = {service: f"FACET_{service.upper()}_DATABASE_URL" for service in SERVICES}
OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """``parts``: the servers to start. ``environment``: the FACET_*_URL settings of all servers."""

    parts: Sequence[Part]
    environment: Mapping[str, str]


def make_servers(
    folder: Path,
    logs: Path,
    topics: Sequence[str],
    configured: Mapping[str, str],
    on_progress: OnProgress,
    apache_kafka: Callable[[Path, Path, Sequence[str], OnProgress], Part] = kafka.part,
) -> Servers:
    """Return the servers with their data in ``folder``, except those in ``configured``. Raises PartFailed.

    If ``apache_kafka`` is not available, a mock broker replaces it, and ``on_progress`` is called with the reason.
    """
    # An empty setting counts as unset, as in the services.
    configured = {name: value for name, value in configured.items() if value}
    passwords = Passwords(folder / "passwords.json")
    factories: list[Callable[[], tuple[Part, Mapping[str, str]]]] = []

    def own_postgres() -> tuple[Part, Mapping[str, str]]:
        part = postgres.part(folder / "postgresql", logs, passwords)
        urls = postgres.urls(part.address, passwords)
        return part, {DATABASE_URLS[service]: url for service, url in urls.items()}

    def own_redis() -> tuple[Part, Mapping[str, str]]:
        part = redis.part(folder / "redis", logs, passwords)
        return part, {REDIS_URL: redis.url(part.address, passwords)}

    def own_kafka() -> tuple[Part, Mapping[str, str]]:
        try:
            part = apache_kafka(folder / "kafka", logs, topics, on_progress)
        except JarsMissing as reason:
            on_progress(f"{mock_kafka.NOTICE} ({reason}; set {KAFKA_URL} to use your own broker)")
            part = mock_kafka.part(logs, topics)
        return part, {KAFKA_URL: part.address}

    if not configured.keys() >= set(DATABASE_URLS.values()):
        factories.append(own_postgres)
    if REDIS_URL not in configured:
        factories.append(own_redis)
    if KAFKA_URL not in configured:
        factories.append(own_kafka)
    with ThreadPoolExecutor() as pool:  # each blocks on its own programs and downloads
        created = list(pool.map(lambda factory: factory(), factories))
    found = {name: value for _, settings in created for name, value in settings.items()}
    return Servers([part for part, _ in created], {**found, **configured})
