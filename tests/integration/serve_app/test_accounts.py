"""``facet accounts``: what it adds can sign in, and what is wrong is told in a line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import typer
from typer.testing import CliRunner

from data.identity import repository as identity
from data.kit import migrate
from data.kit.database import Connection, Database
from data.partners import repository as partners
from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage
from serve_app.commands import register
from serve_app.kit.principal import Role
from tests.integration.data import conftest

migrated, service_urls = conftest.migrated, conftest.service_urls
Answer = TypeVar("Answer")
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def facet() -> Callable[..., str]:
    """Runs ``facet accounts`` and gives what it prints; its failures are raised, as the real entry point gets them."""
    app = typer.Typer()
    register(app)

    def run(*arguments: str, **environment: str) -> str:
        done = CliRunner(env=environment).invoke(app, ["accounts", *arguments])
        if isinstance(done.exception, WrongUsage | ServiceUnhealthy):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


def asked(url: str, question: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    async def main() -> Answer:
        async with Database(url) as database, database.connection() as connection:
            return await question(connection)

    return asyncio.run(main())


def test_a_person_signs_in_and_a_name_is_given_once(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("identity")
    given = {"FACET_IDENTITY_DATABASE_URL": url, "FACET_PASSWORD": "correct horse"}
    assert "seller, operator" in facet("user", "ann", "--role", "seller", "--role", "operator", **given)
    found = asked(url, lambda connection: identity.sign_in(connection, "ann", "correct horse"))
    assert found is not None
    assert found.roles == ("seller", "operator")
    with pytest.raises(WrongUsage, match="the username ann is taken"):
        facet("user", "ann", "--role", "admin", **given | {"FACET_PASSWORD": "another"})
    assert asked(url, lambda connection: identity.sign_in(connection, "ann", "another")) is None


def test_a_service_has_its_newest_secret(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("identity")
    old, new = (facet("service", "mes", FACET_IDENTITY_DATABASE_URL=url) for _ in range(2))
    assert asked(url, lambda connection: identity.client(connection, "mes", old)) is None
    found = asked(url, lambda connection: identity.client(connection, "mes", new))
    assert found is not None
    assert found.roles == (Role.PRICING_CLIENT,)


def test_a_partner_has_all_its_keys(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("partners")
    keys = [facet("partner", name, FACET_PARTNERS_DATABASE_URL=url) for name in ("Ann", "Ann", "Bob")]
    whose = [asked(url, lambda connection, key=key: partners.partner_of_key(connection, key)) for key in keys]
    assert None not in whose
    assert (whose[0] == whose[1], whose[0] == whose[2]) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "url", "failure", "says"),
    [
        (("user", "ann", "--role", "boss"), NOWHERE, WrongUsage, "boss; use customer"),
        (("partner", "Ann"), "", WrongUsage, "FACET_PARTNERS_DATABASE_URL is not set"),
        (("partner", "Ann"), NOWHERE, ServiceUnhealthy, "can't be reached"),
    ],
)
def test_what_is_wrong_is_told(
    facet: Callable[..., str], arguments: tuple[str, ...], url: str, failure: type[Exception], says: str
) -> None:
    given = {"FACET_PARTNERS_DATABASE_URL": url, "FACET_IDENTITY_DATABASE_URL": url, "FACET_PASSWORD": "x"}
    with pytest.raises(failure, match=says):
        facet(*arguments, **given)


def test_a_database_without_tables_is_told(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("partners")
    migrate.down(url, "partners", "base")
    with pytest.raises(ServiceUnhealthy, match="facet migrate partners"):
        facet("partner", "Ann", FACET_PARTNERS_DATABASE_URL=url)
