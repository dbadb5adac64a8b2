"""Account commands: ``facet accounts user``, ``facet accounts service``, ``facet accounts partner``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage

if TYPE_CHECKING:
    from data.kit.database import Connection

Result = TypeVar("Result")
USER_ROLES = ("customer", "seller", "operator", "admin")
"""Roles of users; services and partners have a role of their own."""


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    accounts = typer.Typer(
        help="Add users, services and partners.",
        epilog="Example: facet accounts user ann --role seller",
        no_args_is_help=True,
    )
    accounts.command(epilog="Example: facet accounts user ann --role seller")(user)
    accounts.command(epilog="Example: facet accounts service mes")(service)
    accounts.command(epilog='Example: facet accounts partner "Sample jeweller"')(partner)
    app.add_typer(accounts, name="accounts")


def user(
    name: Annotated[str, typer.Argument(help="The username.")],
    role: Annotated[list[str], typer.Option(help=f"One of {', '.join(USER_ROLES)}; repeat for several.")],
    password: Annotated[
        str,
        typer.Option(
            prompt=True,
            hide_input=True,
            confirmation_prompt=True,
            envvar="FACET_PASSWORD",
            help="Password of the user.",
        ),
    ],
) -> None:
    """Add a user (FACET_IDENTITY_DATABASE_URL); prompt for the password, or take FACET_PASSWORD."""
    from data.identity import repository

    if unknown := set(role) - set(USER_ROLES):
        raise WrongUsage(f"no such role: {', '.join(sorted(unknown))}; use {', '.join(USER_ROLES)}")
    if not _in_database("identity", lambda connection: repository.add_user(connection, name, password, role)):
        raise WrongUsage(f"the username {name} is taken; choose another")
    print(f"{name} may sign in as {', '.join(role)}")


def service(name: Annotated[str, typer.Argument(help="The client id.")]) -> None:
    """Print a new secret for a pricing client (FACET_IDENTITY_DATABASE_URL); it replaces the old one."""
    from data.identity import repository
    from data.kit import secrets
    from serve_app.kit.principal import Role

    secret = secrets.new(name)
    _in_database("identity", lambda connection: repository.add_client(connection, name, secret, [Role.PRICING_CLIENT]))
    print(secret)


def partner(name: Annotated[str, typer.Argument(help="The partner; added if it does not exist.")]) -> None:
    """Print a new API key of a partner (FACET_PARTNERS_DATABASE_URL); its other keys remain valid."""
    from data.partners import repository

    async def add(connection: Connection) -> str:
        return await repository.add_key(connection, await repository.add(connection, name))

    print(_in_database("partners", add))


def _in_database(name: str, operation: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run ``operation`` in the database of a service and return its result."""
    from psycopg.errors import UndefinedTable

    from data.kit.database import UNAVAILABLE_ERRORS, Database
    from data.kit.errors import SettingMissing
    from data.kit.settings import DataSettings

    async def run() -> Result:
        settings = DataSettings(database_pool=1)
        async with Database(settings.database_url(name), settings) as database, database.connection() as connection:
            return await operation(connection)

    try:
        return asyncio.run(run())
    except SettingMissing as error:
        raise WrongUsage(str(error)) from error
    except UndefinedTable as error:
        raise ServiceUnhealthy(f"the database of {name} has no tables; run `facet migrate {name}`") from error
    except UNAVAILABLE_ERRORS as error:
        setting = f"FACET_{name.upper()}_DATABASE_URL"
        raise ServiceUnhealthy(f"the database of {name} can't be reached: {error}; check {setting}") from error
