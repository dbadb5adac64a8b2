"""The servers that the services need, as parts of the local stack: those that no FACET_*_URL names."""

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
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """``parts``: what is to be started. ``environment``: the FACET_*_URL settings under which the services find all."""

    parts: Sequence[Part]
    environment: Mapping[str, str]


def servers(
    folder: Path,
    logs: Path,
    topics: Sequence[str],
    given: Mapping[str, str],
    tell: Tell,
    apache_kafka: Callable[[Path, Path, Sequence[str], Tell], Part] = kafka.part,
) -> Servers:
    """The servers with their data in ``folder``; ``given``: settings that name others. Raises PartFailed.

    Where ``apache_kafka`` can't be had, a broker for trying out takes its place, and ``tell`` hears why.
    """
    given = {name: value for name, value in given.items() if value}  # an empty setting is none, as for the services
    passwords = Passwords(folder / "passwords.json")
    makers: list[Callable[[], tuple[Part, Mapping[str, str]]]] = []

    def own_postgres() -> tuple[Part, Mapping[str, str]]:
        part = postgres.part(folder / "postgresql", logs, passwords)
        urls = postgres.urls(part.address, passwords)
        return part, {DATABASE_URLS[service]: url for service, url in urls.items()}

    def own_redis() -> tuple[Part, Mapping[str, str]]:
        part = redis.part(folder / "redis", logs, passwords)
        return part, {REDIS_URL: redis.url(part.address, passwords)}

    def own_kafka() -> tuple[Part, Mapping[str, str]]:
        try:
            part = apache_kafka(folder / "kafka", logs, topics, tell)
        except JarsMissing as why:
            tell(f"{mock_kafka.NOTICE} ({why}; {KAFKA_URL} names a broker of your own)")
            part = mock_kafka.part(logs, topics)
        return part, {KAFKA_URL: part.address}

    if not given.keys() >= set(DATABASE_URLS.values()):
        makers.append(own_postgres)
    if REDIS_URL not in given:
        makers.append(own_redis)
    if KAFKA_URL not in given:
        makers.append(own_kafka)
    with ThreadPoolExecutor() as pool:  # each waits for its own programs and downloads
        made = list(pool.map(lambda make: make(), makers))
    found = {name: value for _, settings in made for name, value in settings.items()}
    return Servers([part for part, _ in made], {**found, **given})
