"""``facet accounts``: what it adds can sign in, and errors are reported in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

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

Result = TypeVar("Result")
UNREACHABLE = "postgresql://user@127.0.0.1:1/none"


@pytest.fixture
def facet() -> Callable[..., str]:
    """Return a function that runs ``facet accounts``: it returns the output, or raises the command's error."""
    app = typer.Typer()
    register(app)

    def run(*arguments: str, **environment: str) -> str:
        done = CliRunner(env=environment).invoke(app, ["accounts", *arguments])
        if isinstance(done.exception, WrongUsage | ServiceUnhealthy):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


def queried(url: str, statement: Callable[[Connection], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        async with Database(url) as database, database.connection() as connection:
            return await statement(connection)

    return asyncio.run(main())


def test_a_user_signs_in_and_a_username_is_unique(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("identity")
    variables = {"FACET_IDENTITY_DATABASE_URL": url, "FACET_PASSWORD": "correct horse"}
    assert "seller, operator" in facet("user", "ann", "--role", "seller", "--role", "operator", **variables)
    found = queried(url, lambda connection: identity.sign_in(connection, "ann", "correct horse"))
    assert found is not None
    assert found.roles == ("seller", "operator")
    with pytest.raises(WrongUsage, match="the username ann is taken"):
        facet("user", "ann", "--role", "admin", **variables | {"FACET_PASSWORD": "another"})
    assert queried(url, lambda connection: identity.sign_in(connection, "ann", "another")) is None


def test_a_service_has_its_newest_secret(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("identity")
    old, new = (facet("service", "mes", FACET_IDENTITY_DATABASE_URL=url) for _ in range(2))
    assert queried(url, lambda connection: identity.client(connection, "mes", old)) is None
    found = queried(url, lambda connection: identity.client(connection, "mes", new))
    assert found is not None
    assert found.roles == (Role.PRICING_CLIENT,)


def test_a_partner_has_all_its_keys(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("partners")
    keys = [facet("partner", name, FACET_PARTNERS_DATABASE_URL=url) for name in ("Ann", "Ann", "Bob")]

    def owner(key: str) -> UUID | None:
        return queried(url, lambda connection: partners.partner_of_key(connection, key))

    owners = [owner(key) for key in keys]
    assert None not in owners
    assert (owners[0] == owners[1], owners[0] == owners[2]) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "url", "failure", "message"),
    [
        (("user", "ann", "--role", "boss"), UNREACHABLE, WrongUsage, "boss; use customer"),
        (("partner", "Ann"), "", WrongUsage, "FACET_PARTNERS_DATABASE_URL is not set"),
        (("partner", "Ann"), UNREACHABLE, ServiceUnhealthy, "can't be reached"),
    ],
)
def test_errors_are_reported(
    facet: Callable[..., str], arguments: tuple[str, ...], url: str, failure: type[Exception], message: str
) -> None:
    variables = {"FACET_PARTNERS_DATABASE_URL": url, "FACET_IDENTITY_DATABASE_URL": url, "FACET_PASSWORD": "x"}
    with pytest.raises(failure, match=message):
        facet(*arguments, **variables)


def test_a_database_without_tables_is_reported(facet: Callable[..., str], migrated: Callable[[str], str]) -> None:
    url = migrated("partners")
    migrate.down(url, "partners", "base")
    with pytest.raises(ServiceUnhealthy, match="facet migrate partners"):
        facet("partner", "Ann", FACET_PARTNERS_DATABASE_URL=url)
