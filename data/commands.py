"""Commands on databases and topics: ``facet migrate``, ``facet events dead-letters``, ``parked`` and ``replay``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from data.kit.dead_letters import DeadLetter

EXIT_UNREACHABLE = 4
ResultT = TypeVar("ResultT")


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command(epilog="Example: facet migrate shop crm")(migrate)
    events = typer.Typer(help="Events that consumers could not apply.", no_args_is_help=True)
    events.command("dead-letters", epilog="Example: facet events dead-letters")(dead_letters)
    events.command(epilog="Example: facet events parked shop")(parked)
    events.command(epilog="Example: facet events replay shop --dry-run")(replay)
    app.add_typer(events, name="events")


def migrate(
    services: Annotated[list[str] | None, typer.Argument(help="Services to migrate; all if none is named.")] = None,
    to: Annotated[str, typer.Option(help="A version, `head`, or with --down `base`.")] = "head",
    down: Annotated[bool, typer.Option("--down", help="Downgrade to the version instead of upgrading.")] = False,
) -> None:
    """Migrate the services' databases (FACET_<SERVICE>_DATABASE_URL) to a version of their tables."""
    from sqlalchemy.exc import OperationalError

    from data.kit import migrate as migrations
    from data.kit.errors import SettingMissing
    from data.kit.settings import SERVICES, Settings

    if unknown := set(services or ()) - set(SERVICES):
        raise typer.BadParameter(f"no such service: {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    if down and (to == "head" or not services):
        raise typer.BadParameter("--down needs the services by name, and --to with the version to downgrade to")
    move = migrations.down if down else migrations.up
    for service in services or SERVICES:
        try:
            print(f"{service}: {move(Settings().database_url(service), service, to) or 'no tables'}")
        except SettingMissing as error:
            raise typer.BadParameter(str(error)) from error
        except OperationalError as error:
            _fail(f"{service}: the database can't be reached: {error.orig}")


def dead_letters() -> None:
    """Print the number of dead letters of each consumer that were not replayed."""
    from data.contracts.topics import CONSUMERS
    from data.kit import dead_letters as letters

    for consumer, count in _with_kafka(letters.count_pending(_bootstrap(), CONSUMERS)).items():
        print(f"{consumer}: {count}")


def parked(
    consumer: Annotated[str, typer.Argument(help="The consumer: shop, crm, mes, status, ...")],
) -> None:
    """Print the events that a consumer has parked, oldest first, and what each waits for."""
    from psycopg import OperationalError

    from data.contracts.topics import CONSUMERS
    from data.kit import parking
    from data.kit.database import Database
    from data.kit.errors import SettingMissing
    from data.kit.settings import Settings

    if consumer not in CONSUMERS:
        raise typer.BadParameter(f"no such consumer: {consumer}; there are {', '.join(CONSUMERS)}")

    async def show() -> int:
        count, after = 0, 0
        async with Database(Settings().database_url(consumer.partition("-")[0])) as database:
            while True:
                async with database.connection() as connection:
                    page = await parking.list_page(connection, consumer, after)
                if not page:
                    return count
                for each in page:
                    awaited = "an event that no topic holds" if each.unreachable_at else "another event"
                    awaited = "its replay" if each.refused else awaited
                    sequence = each.sequence or "unreadable"
                    print(f"{each.parked_at.isoformat()} {each.topic} {each.subject} #{sequence} waits for {awaited}")
                count, after = count + len(page), page[-1].id

    try:
        count = asyncio.run(show())
    except SettingMissing as error:
        raise typer.BadParameter(str(error)) from error
    except OperationalError as error:
        _fail(f"{consumer}: the database can't be reached: {error}")
    print(f"{count} parked", file=sys.stderr)


def replay(
    consumer: Annotated[str, typer.Argument(help="The consumer: shop, crm, mes, status, ...")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print them without sending.")] = False,
) -> None:
    """Send the dead letters of a consumer to it again, oldest first, and print each with its reason."""
    from data.contracts.topics import CONSUMERS
    from data.kit import dead_letters as letters

    if consumer not in CONSUMERS:
        raise typer.BadParameter(f"no such consumer: {consumer}; there are {', '.join(CONSUMERS)}")

    async def send() -> int:
        count = 0
        async for letter in letters.replay(_bootstrap(), consumer, dry_run):
            _print(letter)
            count += 1
        return count

    count = _with_kafka(send())
    print(f"{count} would be sent again" if dry_run else f"{count} sent again", file=sys.stderr)


def _print(letter: DeadLetter) -> None:
    key = (letter.key or b"").decode(errors="replace")
    print(f"{letter.at.isoformat()} {letter.topic}[{letter.partition}]@{letter.offset} {key}: {letter.reason}")


def _bootstrap() -> str:
    from data.kit.settings import Settings

    return Settings().needed("kafka_url")


def _with_kafka(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    from aiokafka.errors import KafkaError

    from data.kit.errors import SettingMissing

    try:
        return asyncio.run(work)
    except SettingMissing as error:
        raise typer.BadParameter(str(error)) from error
    except KafkaError as error:
        _fail(f"Kafka can't be reached: {error}")


def _fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise typer.Exit(EXIT_UNREACHABLE)
