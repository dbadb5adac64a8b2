"""Latency of pages over a million rows against ten thousand: it must not grow with the table.

``python -m benchmarks.databases`` starts a private PostgreSQL, fills the tables of every service (:func:`filled`,
which the tests of query plans use too), and prints one table.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from cluster.local import postgres
from cluster.local.ephemeral import running
from cluster.local.passwords import Passwords
from data.contracts.common import Priority
from data.contracts.lifecycle import OrderStatus
from data.crm import repository as crm
from data.kit import clock, database, migrate, settings
from data.kit.paging import START, Position
from data.mes import repository as mes
from data.partners import deliveries
from data.partners import repository as partners
from data.pricing import repository as pricing
from data.shop import products
from data.shop import repository as shop
from data.status import repository as status

Connection = psycopg.Connection[Any]
MANY, FEW = 1_000_000, 10_000
SCHEMA = "many_rows"
"""The schema of the tables in each service's database, dropped after use."""
BUSY, QUIET = "owner-busy", "owner-7"
"""An owner with a tenth of all orders, and one with fifty."""
_BOARD = (
    OrderStatus.PRICE_CALCULATED,
    OrderStatus.REVIEW_REQUIRED,
    OrderStatus.MANUFACTURING_APPROVED,
    OrderStatus.SHIPPED,
    OrderStatus.REJECTED,
    OrderStatus.CANCELLED,
)
_PRODUCTION = (
    OrderStatus.MANUFACTURING_APPROVED,
    OrderStatus.MANUFACTURING_STARTED,
    OrderStatus.PACKAGING,
    OrderStatus.REWORK,
    OrderStatus.CANCELLED,
)


def row_id(n: int) -> UUID:
    """Return the id of row ``n``; rows count from 1, the oldest."""
    return UUID(int=0x70008000 << 48 | n)


def _id(n: str) -> str:
    return f"('00000000-0000-7000-8000-' || lpad(to_hex({n}), 12, '0'))::uuid"


def _status(mostly: OrderStatus, *others: OrderStatus) -> str:
    """Return an SQL expression: ``mostly`` for nine of ten rows, else one of ``others``."""
    names = ", ".join(f"'{each}'" for each in others)
    return f"CASE WHEN n % 10 <> 9 THEN '{mostly}' ELSE (ARRAY[{names}])[1 + n / 10 % {len(others)}] END"


_ID = {"id": _id("n")}
_OWNER = {"owner_id": f"CASE WHEN n % 10 = 0 THEN '{BUSY}' ELSE 'owner-' || n % greatest(:rows / 50, 1) END"}
_ITEM = {"process": "'casting'", "material": "'silver-925'", "quantity": "1"}
_PRIORITY = {"priority": "(ARRAY['express', 'standard', 'bulk'])[1 + n % 3]"}
_MODEL = {"unit": "'mm'", "model_sha256": "md5((n / 2)::text)"}
_AGE = "(:rows - n) * interval '1 year' / :rows"
_CREATED = {"created_at": f"now() - {_AGE}"}
_ORDER = {**_ID, **_OWNER, **_ITEM, **_PRIORITY, **_MODEL, **_CREATED, "partner": "n % 10 = 0"}
_HISTORY_ENTRY = {"order_id": _id("1 + n / 2"), "n": "1 + n % 2", "status": "'INITIATED'", "at": "now()", "by": "'me'"}
_RARE_TIMER = "CASE WHEN n % 1000 = 9 THEN now() - interval '1 day' * (n % 7) END"
"""A timer that one of a thousand rows has."""
_PRODUCT = {
    **{name: f"'{name}'" for name in ("name", "description", "process", "material", "currency")},
    "sku": "'sku-' || n",
    "category": "'category-' || n % 50",
    "price": "n % 1000",
    "in_stock": "n % 3 <> 0",
}
_QUOTE = {
    "order_id": _id("n"),
    "status": "CASE WHEN n % 50 = 9 THEN 'queued' ELSE 'done' END",
    "finished_at": "CASE WHEN n % 50 <> 9 THEN now() END",
}
_TASK = {
    "status": _status(OrderStatus.SHIPPED, *_PRODUCTION),
    "claimed_by": "CASE WHEN n % 100 <> 9 THEN 'operator-' || n % 50 END",
    "revision": "1",
}
_DELIVERY = {
    "webhook_id": _id("1 + n % greatest(:rows / 100, 1)"),
    "order_id": _id("1 + n / 3"),
    "event_id": _id("n"),
    "next_attempt_at": _RARE_TIMER,
    "state": "'pending'",
    **{name: f"'{name}'" for name in ("type", "body")},
}
_PARTNER = {"partner_id": _id("1 + n % greatest(:rows / 100, 1)")}
_ACCOUNT = {"roles": "'{}'", "active": "true"}
TABLES: dict[str, dict[str, dict[str, str]]] = {
    "shop": {
        "products": {**_ID, **_CREATED, **_PRODUCT},
        "orders": {
            **_ORDER,
            "status": _status(
                OrderStatus.CLOSED, OrderStatus.INITIATED, OrderStatus.SUBMITTED, OrderStatus.PRICE_FAILED
            ),
            "submitted_at": f"now() - {_AGE}",
            "waiting_since_ms": "n",
        },
        "operating_clocks": {"name": "'pricing overdue'", "elapsed_ms": f"{MANY}", "ticked_at": "now()"},
        "order_history": _HISTORY_ENTRY,
        "outbox": {"topic": "'shop.orders.v1'", "subject": "n::text", "value": "repeat('x', 100)"},
        "inbox": {"consumer": "'shop'", "event_id": _id("n"), "received_at": f"now() - {_AGE}"},
        "parked": {
            "consumer": "'shop'",
            "subject": "'order-' || n / 4",
            "topic": "'crm.orders.v1'",
            "partition": "0",
            "kafka_offset": "n",
            "event_id": _id("n"),
            "sequence": "n % 4",
            "value": "'value'",
            "refused": "n % 1000 = 1",
            "unreachable_at": _RARE_TIMER,
        },
        "idempotency_keys": {"caller": _OWNER["owner_id"], "key": "n::text", "body_sha256": "'hash'", **_CREATED},
    },
    "pricing": {"quotes": {**_ID, **_OWNER, **_ITEM, **_PRIORITY, **_MODEL, **_CREATED, **_QUOTE}},
    "crm": {
        "orders": {
            **_ORDER,
            "status": _status(OrderStatus.CLOSED, *_BOARD),
            "expires_at": _RARE_TIMER,
            "expires_after_ms": "CASE WHEN n % 1000 = 9 THEN n END",
            "revision": "1",
        },
        "operating_clocks": {"name": "'quote expiry'", "elapsed_ms": f"{MANY}", "ticked_at": "now()"},
    },
    "mes": {
        "tasks": {**_ID, **_ITEM, **_PRIORITY, **_MODEL, **_CREATED, **_TASK},
        "withdrawn": {"order_id": _id("n"), "at": "now()"},
    },
    "status": {
        "orders": {**_ID, **_OWNER, **_CREATED, "status": _status(OrderStatus.CLOSED, *_BOARD)},
        "history": {**_HISTORY_ENTRY, "event_id": _id("n")},
    },
    "partners": {
        "partners": {**_ID, "name": "'partner-' || n"},
        "api_keys": {**_ID, **_CREATED, **_PARTNER, "sha256": "sha256(n::text::bytea)", "hint": "'facet'"},
        "orders": {**_ID, **_CREATED, **_PARTNER},
        "webhooks": {
            **_ID,
            **_CREATED,
            "partner_id": _id("n"),
            "url": "'https://there'",
            "secret": "'secret'",
            "active": "true",
        },
        "deliveries": {**_ID, **_CREATED, **_DELIVERY},
        "attempts": {"delivery_id": _id("1 + n / 2"), "n": "1 + n % 2", "at": "now()", "took_ms": "1"},
    },
    "identity": {
        "users": {**_ID, "username": "'user-' || n", "password": "'hash'", **_ACCOUNT},
        "clients": {"client_id": "'client-' || n", "secret": "'hash'", **_ACCOUNT},
    },
}
"""Service -> table -> column -> its SQL expression for row ``n``."""
ROW_DIVISORS = {"partners": 100, "webhooks": 100, "operating_clocks": MANY}
"""Table -> divisor of its row count: a partner has a hundred orders, a service one clock."""


@contextmanager
def filled(url: str, service: str, rows: int = MANY) -> Iterator[str]:
    """Fill new tables of a service with ``rows`` rows and yield their URL.

    The tables are in a separate schema, dropped after the block. ``url``: of the database's owner.
    """
    schema_url = make_url(url).update_query_dict({"options": f"-csearch_path={SCHEMA}"}).render_as_string(False)
    with psycopg.connect(schema_url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
        connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
        try:
            migrate.up(schema_url, service)
            for table, columns in TABLES[service].items():
                _fill(connection, table, columns, max(1, rows // ROW_DIVISORS.get(table, 1)))
            yield schema_url
        finally:
            connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE".encode())


def _fill(connection: Connection, table: str, columns: dict[str, str], rows: int) -> None:
    """Insert the rows before creating indexes and without foreign keys: both would cost more than the rows."""
    constraints = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
        [table],
    ).fetchall()
    for name, _ in constraints:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE".encode())
    found = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = %s"
    indexes = connection.execute(found.encode(), [SCHEMA, table]).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    connection.execute(f"ALTER TABLE {table} SET UNLOGGED".encode())
    values = ", ".join(columns.values()).replace(":rows", str(rows))
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM generate_series(1, {rows}) AS n".encode()
    )
    for name, definition in constraints:
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}".encode())
    for _, definition in indexes:
        connection.execute(definition.encode())
    connection.execute(f"ANALYZE {table}".encode())


List = Callable[[database.Connection, Position], Awaitable[Any]]
PAGE, REPEATS = 50, 300
LISTS: dict[str, dict[str, List]] = {
    "shop": {
        "the catalogue": lambda connection, position: products.catalogue(connection, position, PAGE),
        "the catalogue, a category in stock": lambda connection, position: products.catalogue(
            connection, position, PAGE, "category-7", True
        ),
        "the catalogue, up to a price": lambda connection, position: products.catalogue(
            connection, position, PAGE, max_price=Decimal(300)
        ),
        "a customer's orders": lambda connection, position: shop.of_owner(connection, QUIET, position, PAGE),
        "a busy partner's orders": lambda connection, position: shop.of_owner(connection, BUSY, position, PAGE),
    },
    "pricing": {
        "a busy partner's quotes": lambda connection, position: pricing.of_owner(connection, BUSY, position, PAGE),
        "quotes to price": lambda connection, _: pricing.unfinished(connection, Priority.BULK, PAGE),
    },
    "crm": {
        "the sellers' board": lambda connection, position: crm.board(connection, None, position, PAGE),
        "the sellers' board, a status": lambda connection, position: crm.board(
            connection, OrderStatus.PRICE_CALCULATED, position, PAGE
        ),
    },
    "mes": {
        "the operators' board": lambda connection, position: mes.board(connection, None, position, PAGE),
        "the operators' board, a status": lambda connection, position: mes.board(
            connection, OrderStatus.MANUFACTURING_APPROVED, position, PAGE
        ),
        "an operator's tasks": lambda connection, position: mes.of_operator(connection, "operator-7", position, PAGE),
    },
    "status": {
        "a busy partner's statuses": lambda connection, position: status.of_owner(connection, BUSY, position, PAGE)
    },
    "partners": {
        "a partner's orders": lambda connection, position: partners.orders(connection, row_id(7), position, PAGE),
        "a webhook's deliveries": lambda connection, position: deliveries.of_webhook(
            connection, row_id(7), position, PAGE
        ),
    },
}
"""Service -> name of a list -> its page of ``PAGE`` rows."""


def main() -> None:
    """Measure every list over few and over many rows and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=MANY, help="rows of the large tables")
    rows = parser.parse_args().rows
    table = Table(title=f"A page of {PAGE} in a table of {rows:,} rows over one of {FEW:,}", title_justify="left")
    for column in ("list", "first page", "ratio", "from the middle", "ratio"):
        table.add_column(column, justify="left" if column == "list" else "right")
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        passwords = Passwords(folder / "passwords.json")
        with running(postgres.part(folder / "postgresql", folder, passwords)) as server:
            for service, url in postgres.urls(server.address, passwords).items():
                if service not in LISTS:
                    continue
                medians = []
                for count in (FEW, rows):
                    with progress.status(f"{service}: {count:,} rows"), filled(url, service, count) as schema_url:
                        medians.append(asyncio.run(_time(schema_url, LISTS[service])))
                for what in LISTS[service]:
                    (few, middle_of_few), (many, middle_of_many) = medians[0][what], medians[1][what]
                    first_page = (f"{1e3 * many:.2f} ms", f"{many / few:.2f}")
                    middle = (f"{1e3 * middle_of_many:.2f} ms", f"{middle_of_many / middle_of_few:.2f}")
                    table.add_row(what, *first_page, *middle)
    Console(width=150).print(table)


async def _time(url: str, lists: dict[str, List]) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each list's first page and of one from its middle."""
    middle = Position(clock.now() - timedelta(182), row_id(1))
    arguments = database.connect_arguments(settings.DataSettings(), "databases")
    del arguments["options"]  # the schema is set in the URL
    async with await psycopg.AsyncConnection.connect(url, **arguments) as connection:
        return {
            what: (await _median(connection, page, START), await _median(connection, page, middle))
            for what, page in lists.items()
        }


async def _median(connection: database.Connection, page: List, position: Position) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        await page(connection, position)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
