"""Migrations: up, down and up again; tables match the code; a service can access its own database only."""

from __future__ import annotations

import asyncio
import json
import random

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url

from data.contracts.envelope import CloudEvent
from data.kit import migrate
from data.kit.settings import SERVICES
from tests.support.order_events import life


@pytest.mark.parametrize("service", SERVICES)
def test_up_down_and_up_again(service_urls: dict[str, str], service: str) -> None:
    url = service_urls[service]
    assert migrate.up(url, service) == migrate.head(service) is not None
    assert migrate.down(url, service, "base") is None
    with psycopg.connect(url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'S')"
        ).fetchall()
    assert {name for (name,) in left} <= {"alembic_version", "alembic_version_pkc"}
    assert migrate.up(url, service) == migrate.head(service) == migrate.version(url)


@pytest.mark.parametrize("service", SERVICES)
def test_the_tables_are_those_of_the_code(service_urls: dict[str, str], service: str) -> None:
    url = service_urls[service]
    migrate.up(url, service)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, migrate.tables(service)) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("service", "insert"),
    [
        ("status", "INSERT INTO orders (id, parked) VALUES (gen_random_uuid(), %s)"),
        (
            "partners",
            "INSERT INTO orders (id, state) SELECT gen_random_uuid(), jsonb_build_object('parked', %s::jsonb)",
        ),
    ],
)
def test_events_that_were_parked_as_json_move_to_the_table(
    service_urls: dict[str, str], service: str, insert: str
) -> None:
    url = service_urls[service]
    migrate.up(url, service)
    migrate.down(url, service, "0002")
    (event, *_), _ = life(random.Random(1), 3)
    parked = [{"since": "2026-11-29T00:00:00Z", "event": event.model_dump(mode="json")}]
    with psycopg.connect(url) as connection:
        connection.execute(insert.encode(), [json.dumps(parked)])
    migrate.up(url, service)
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT consumer, subject, topic, event_id, sequence, value FROM parked").fetchall()
        connection.execute("TRUNCATE parked, orders CASCADE")
    (*columns, value), *none = rows
    assert (columns, none) == ([service, event.subject, "shop.orders.v1", event.id, event.sequence], [])
    assert CloudEvent.model_validate_json(value) == event


async def test_concurrent_migrations_run_one_after_the_other(service_urls: dict[str, str]) -> None:
    url = service_urls["shop"]
    migrate.up(url, "shop")
    migrate.down(url, "shop", "base")

    result = await asyncio.gather(*(asyncio.to_thread(migrate.up, url, "shop") for _ in range(4)))
    assert result == [migrate.head("shop")] * 4


@pytest.mark.parametrize("service", SERVICES)
def test_a_role_can_connect_to_its_own_database_only(service_urls: dict[str, str], service: str) -> None:
    own = make_url(service_urls[service])
    for other in SERVICES:
        target = own.set(drivername="postgresql", database=make_url(service_urls[other]).database)
        url = target.render_as_string(hide_password=False)
        if other == service:
            psycopg.connect(url).close()
        else:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(url)
