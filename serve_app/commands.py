"""Commands that manage accounts: ``facet accounts user``, ``facet accounts service``, ``facet accounts partner``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage

if TYPE_CHECKING:
    from data.kit.database import Connection

Result = TypeVar("Result")
PEOPLE = ("customer", "seller", "operator", "admin")
"""The roles of people; services and partners have one role each."""


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    accounts = typer.Typer(help="Manage accounts of people, services and partners.", no_args_is_help=True)
    accounts.command(epilog="Example: facet accounts user ann --role seller")(user)
    accounts.command(epilog="Example: facet accounts service mes")(service)
    accounts.command(epilog='Example: facet accounts partner "Sample jeweller"')(partner)
    app.add_typer(accounts, name="accounts")


def user(
    name: Annotated[str, typer.Argument(help="The username.")],
    role: Annotated[list[str], typer.Option(help=f"One of {', '.join(PEOPLE)}; repeat for several.")],
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="FACET_PASSWORD")
    ],
) -> None:
    """Add a person (FACET_IDENTITY_DATABASE_URL); the password is prompted for, or FACET_PASSWORD."""
    from data.identity import repository

    if unknown := set(role) - set(PEOPLE):
        raise WrongUsage(f"--role {', '.join(sorted(unknown))}: give one of {', '.join(PEOPLE)}")
    if not _run_in_database("identity", lambda connection: repository.add_user(connection, name, password, role)):
        raise WrongUsage(f"{name} is taken already; nothing was changed")
    print(f"{name} may sign in as {', '.join(role)}")


def service(name: Annotated[str, typer.Argument(help="The client id.")]) -> None:
    """Print a new secret for a service that requests prices (FACET_IDENTITY_DATABASE_URL), in place of any old one."""
    from data.identity import repository
    from data.kit import secrets
    from serve_app.kit.principal import Role

    secret = secrets.new(name)
    _run_in_database(
        "identity", lambda connection: repository.add_client(connection, name, secret, [Role.PRICING_CLIENT])
    )
    print(secret)


def partner(
    name: Annotated[str, typer.Argument(help="Name of the partner, who is added if there is none of this name.")],
) -> None:
    """Print a new API key of a partner (FACET_PARTNERS_DATABASE_URL); its other keys stay valid."""
    from data.partners import repository

    async def add(connection: Connection) -> str:
        return await repository.add_key(connection, await repository.add(connection, name))

    print(_run_in_database("partners", add))


def _run_in_database(service: str, work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Return the result of ``work`` in the database of a service."""
    from psycopg.errors import UndefinedTable

    from data.kit.database import UNAVAILABLE_ERRORS, Database
    from data.kit.errors import SettingMissing
    from data.kit.settings import Settings

    async def run() -> Result:
        settings = Settings(database_pool=1)
        async with Database(settings.database_url(service), settings) as database, database.connection() as connection:
            return await work(connection)

    try:
        return asyncio.run(run())
    except SettingMissing as error:
        raise WrongUsage(str(error)) from error
    except UndefinedTable as error:
        raise ServiceUnhealthy(
            f"the database of {service} has no tables; `facet migrate {service}` creates them"
        ) from error
    except UNAVAILABLE_ERRORS as error:
        raise ServiceUnhealthy(f"the database of {service} can't be reached: {error}") from error
