"""``facet migrate`` and ``facet events``: their output, and their errors."""

from __future__ import annotations

import pytest
import typer
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from data.commands import register
from data.contracts.topics import all_topics, dead_letters
from data.kit import kafka, parking
from data.kit.database import Database
from data.kit.dead_letters import send_to_dead_letters
from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage
from tests.support.databases import Delivered


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_migrate_prints_the_version(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, service_urls: dict[str, str]
) -> None:
    monkeypatch.setenv("FACET_SHOP_DATABASE_URL", service_urls["shop"])
    done = CliRunner().invoke(app, ["migrate", "shop"])
    assert done.exit_code == 0
    assert done.stdout.startswith("shop: 0")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["migrate", "shopp"], "no such service: shopp"),
        (["migrate", "--down"], "--down needs"),
        (["events", "replay", "no-consumer"], "no such consumer: no-consumer"),
        (["events", "parked", "no-consumer"], "no such consumer: no-consumer"),
    ],
)
def test_wrong_usage_is_reported(app: typer.Typer, arguments: list[str], expected: str) -> None:
    failure = CliRunner().invoke(app, arguments).exception
    assert isinstance(failure, WrongUsage)
    assert expected in str(failure)


def test_unreachable_servers_exit_with_4(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_SHOP_DATABASE_URL", "postgresql://user@127.0.0.1:1/none")
    monkeypatch.setenv("FACET_KAFKA_URL", "127.0.0.1:1")
    for arguments in (["migrate", "shop"], ["events", "dead-letters"], ["events", "parked", "shop"]):
        failure = CliRunner().invoke(app, arguments).exception
        assert isinstance(failure, ServiceUnhealthy)
        assert "can't be reached" in str(failure)


@pytest.fixture
async def two_parked_events(monkeypatch: pytest.MonkeyPatch, shop_url: str) -> None:
    monkeypatch.setenv("FACET_SHOP_DATABASE_URL", shop_url)
    async with Database(shop_url) as database, database.connection() as connection:
        refused = Delivered("crm.orders.v1", b"odd", b"an-order", offset=1)
        await parking.add(connection, "shop", refused, None, refused=True)
        await parking.add(connection, "shop", Delivered("crm.orders.v1", b"odd", b"another", offset=2), None)


@pytest.mark.usefixtures("two_parked_events")
def test_parked_events_are_printed_with_what_they_wait_for(app: typer.Typer) -> None:
    printed = CliRunner().invoke(app, ["events", "parked", "shop"])
    assert printed.exit_code == 0
    first, second = printed.stdout.splitlines()
    assert first.endswith("crm.orders.v1 an-order #unreadable waits for its replay")
    assert second.endswith("crm.orders.v1 another #unreadable waits for another event")


@pytest.fixture
async def one_dead_letter(monkeypatch: pytest.MonkeyPatch, bootstrap: str) -> None:
    monkeypatch.setenv("FACET_KAFKA_URL", bootstrap)
    await kafka.ensure_topics(bootstrap, all_topics())
    async with kafka.started(kafka.producer(bootstrap, "test")) as producer:
        assert isinstance(producer, AIOKafkaProducer)
        await send_to_dead_letters(
            producer, "crm", Delivered("shop.orders.v1", b"odd", b"an-order", offset=5), ValueError("odd indeed")
        )


@pytest.mark.usefixtures("one_dead_letter")
def test_dead_letters_are_counted_printed_and_replayed(app: typer.Typer) -> None:
    assert dead_letters("crm") == "crm.dead-letter"
    assert "crm: 1\n" in CliRunner().invoke(app, ["events", "dead-letters"]).stdout
    printed = CliRunner().invoke(app, ["events", "replay", "crm", "--dry-run"])
    assert "shop.orders.v1[0]@5 an-order: ValueError: odd indeed" in printed.stdout
    assert CliRunner().invoke(app, ["events", "replay", "crm"]).exit_code == 0
    assert "crm: 0\n" in CliRunner().invoke(app, ["events", "dead-letters"]).stdout
