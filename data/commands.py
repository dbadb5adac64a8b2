"""Commands for databases and events: ``facet migrate``, ``facet events dead-letters``, ``parked`` and ``replay``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage

if TYPE_CHECKING:
    from data.kit.dead_letters import DeadLetter

Result = TypeVar("Result")


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command(epilog="Example: facet migrate shop crm")(migrate)
    events = typer.Typer(
        help="Inspect and replay events that consumers could not apply.",
        epilog="Example: facet events dead-letters",
        no_args_is_help=True,
    )
    events.command("dead-letters", epilog="Example: facet events dead-letters")(dead_letters)
    events.command(epilog="Example: facet events parked shop")(parked)
    events.command(epilog="Example: facet events replay shop --dry-run")(replay)
    app.add_typer(events, name="events")


def migrate(
    services: Annotated[list[str] | None, typer.Argument(help="Databases to migrate; default: all.")] = None,
    to: Annotated[str, typer.Option(help="A version, `head`, or with --down `base`.")] = "head",
    down: Annotated[bool, typer.Option("--down", help="Downgrade to the version instead of upgrading to it.")] = False,
) -> None:
    """Migrate the services' databases (FACET_<SERVICE>_DATABASE_URL) to a version of their tables."""
    from sqlalchemy.exc import OperationalError

    from data.kit import migrate as migrations
    from data.kit.errors import SettingMissing
    from data.kit.settings import SERVICES, DataSettings

    if unknown := set(services or ()) - set(SERVICES):
        raise WrongUsage(f"no such service: {', '.join(sorted(unknown))}; use {', '.join(SERVICES)}")
    if down and (to == "head" or not services):
        raise WrongUsage("--down needs services by name and --to with the version to downgrade to")
    move = migrations.down if down else migrations.up
    for service in services or SERVICES:
        try:
            print(f"{service}: {move(DataSettings().database_url(service), service, to) or 'no tables'}")
        except SettingMissing as error:
            raise WrongUsage(str(error)) from error
        except OperationalError as error:
            raise _database_unreachable(service, error.orig) from error


def dead_letters() -> None:
    """Print how many dead letters of each consumer wait to be replayed."""
    from data.contracts.topics import CONSUMERS
    from data.kit import dead_letters as letters

    for consumer, waiting in _with_kafka(letters.count_pending(_bootstrap(), CONSUMERS)).items():
        print(f"{consumer}: {waiting}")


def parked(
    consumer: Annotated[str, typer.Argument(help="The consumer; `facet events dead-letters` lists all.")],
) -> None:
    """Print the parked events of a consumer, oldest first, and what each waits for."""
    from psycopg import OperationalError

    from data.kit import parking
    from data.kit.database import Database
    from data.kit.errors import SettingMissing
    from data.kit.settings import DataSettings

    _check_consumer(consumer)

    async def show() -> int:
        count, after = 0, 0
        async with Database(DataSettings().database_url(consumer.partition("-")[0])) as database:
            while True:
                async with database.connection() as connection:
                    page = await parking.list_page(connection, consumer, after)
                if not page:
                    return count
                for each in page:
                    waits = "an event that can no longer arrive" if each.unreachable_at else "another event"
                    waits = "its replay" if each.refused else waits
                    sequence = each.sequence or "unreadable"
                    print(f"{each.parked_at.isoformat()} {each.topic} {each.subject} #{sequence} waits for {waits}")
                count, after = count + len(page), page[-1].id

    try:
        count = asyncio.run(show())
    except SettingMissing as error:
        raise WrongUsage(str(error)) from error
    except OperationalError as error:
        raise _database_unreachable(consumer, error) from error
    print(f"{count} parked", file=sys.stderr)


def replay(
    consumer: Annotated[str, typer.Argument(help="The consumer; `facet events dead-letters` lists all.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print them.")] = False,
) -> None:
    """Send the dead letters of a consumer to it again, oldest first, and print each with its reason."""
    from data.kit import dead_letters as letters

    _check_consumer(consumer)

    async def send() -> int:
        count = 0
        async for letter in letters.replay(_bootstrap(), consumer, dry_run):
            _print_letter(letter)
            count += 1
        return count

    count = _with_kafka(send())
    print(f"{count} would be sent again" if dry_run else f"{count} sent again", file=sys.stderr)


def _check_consumer(name: str) -> None:
    from data.contracts.topics import CONSUMERS

    if name not in CONSUMERS:
        raise WrongUsage(f"no such consumer: {name}; use {', '.join(CONSUMERS)}")


def _print_letter(letter: DeadLetter) -> None:
    key = (letter.key or b"").decode(errors="replace")
    print(f"{letter.at.isoformat()} {letter.topic}[{letter.partition}]@{letter.offset} {key}: {letter.reason}")


def _bootstrap() -> str:
    from data.kit.errors import SettingMissing
    from data.kit.settings import DataSettings

    try:
        return DataSettings().needed("kafka_url")
    except SettingMissing as error:
        raise WrongUsage(str(error)) from error


def _with_kafka(operation: Coroutine[Any, Any, Result]) -> Result:
    from aiokafka.errors import KafkaError

    try:
        return asyncio.run(operation)
    except KafkaError as error:
        raise ServiceUnhealthy(f"Kafka can't be reached: {error}; check FACET_KAFKA_URL and that it runs") from error


def _database_unreachable(name: str, error: BaseException | None) -> ServiceUnhealthy:
    setting = f"FACET_{name.partition('-')[0].upper()}_DATABASE_URL"
    return ServiceUnhealthy(f"the database of {name} can't be reached: {error}; check {setting} and that it runs")
