"""Commands on who may sign in: ``facet accounts user``, ``facet accounts service``, ``facet accounts partner``."""

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
"""The roles of people; services and partners have one of their own."""


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    accounts = typer.Typer(help="Who may sign in.", no_args_is_help=True)
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
    """Add a person (FACET_IDENTITY_DATABASE_URL); the password is asked for, or FACET_PASSWORD."""
    from data.identity import repository

    if unknown := set(role) - set(PEOPLE):
        raise WrongUsage(f"--role {', '.join(sorted(unknown))}: give one of {', '.join(PEOPLE)}")
    if not _in("identity", lambda connection: repository.add_user(connection, name, password, role)):
        raise WrongUsage(f"{name} is somebody's name already; nothing was changed")
    print(f"{name} may sign in as {', '.join(role)}")


def service(name: Annotated[str, typer.Argument(help="The client id.")]) -> None:
    """Print a new secret for a service that asks for prices (FACET_IDENTITY_DATABASE_URL); an old one ends."""
    from data.identity import repository
    from data.kit import secrets
    from serve_app.kit.principal import Role

    secret = secrets.new(name)
    _in("identity", lambda connection: repository.add_client(connection, name, secret, [Role.PRICING_CLIENT]))
    print(secret)


def partner(name: Annotated[str, typer.Argument(help="The partner, added where there is none of this name.")]) -> None:
    """Print a new API key of a partner (FACET_PARTNERS_DATABASE_URL); keys it has stay good."""
    from data.partners import repository

    async def add(connection: Connection) -> str:
        return await repository.add_key(connection, await repository.add(connection, name))

    print(_in("partners", add))


def _in(name: str, work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """What ``work`` does in the database of a service."""
    from psycopg.errors import UndefinedTable

    from data.kit.database import UNAVAILABLE_ERRORS, Database
    from data.kit.errors import SettingMissing
    from data.kit.settings import Settings

    async def run() -> Result:
        settings = Settings(database_pool=1)
        async with Database(settings.database_url(name), settings) as database, database.connection() as connection:
            return await work(connection)

    try:
        return asyncio.run(run())
    except SettingMissing as error:
        raise WrongUsage(str(error)) from error
    except UndefinedTable as error:
        raise ServiceUnhealthy(f"the database of {name} has no tables; `facet migrate {name}` makes them") from error
    except UNAVAILABLE_ERRORS as error:
        raise ServiceUnhealthy(f"the database of {name} can't be reached: {error}") from error
