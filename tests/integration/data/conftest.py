"""Databases with their tables and a broker for these tests: those in FACET_*_URL, else the shared servers."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psycopg
import pytest

from data.kit import kafka, migrate
from data.kit.settings import SERVICES, Settings
from tests.support.databases import run

SETTINGS = Settings()


@pytest.fixture(scope="session")
def service_urls(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the URL of each service's database."""
    if SETTINGS.shop_database_url:
        return {service: SETTINGS.database_url(service) for service in SERVICES}
    urls: dict[str, str] = request.getfixturevalue("database_urls")
    return urls


@pytest.fixture(scope="session")
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
def topic(bootstrap: str) -> str:
    """Create a topic for one test; return its name."""
    name = f"test-{uuid.uuid4().hex}"
    run(kafka.ensure_topics(bootstrap, [name], partitions=3))
    return name
