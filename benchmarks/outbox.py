"""What it costs that no event is lost: an order's transaction against pgbench, the relay, and a consumer.

``python -m benchmarks.outbox [ITEM ...]`` brings up a private PostgreSQL and Kafka and ends them. pgbench runs the same
statements over as many connections, prepared as ours are, waiting for each answer; a further row has it send a
transaction at once, as we do. Clients and servers share this machine, so run nothing beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from cluster.local import kafka as kafka_part
from cluster.local import postgres
from cluster.local.ephemeral import running
from cluster.local.passwords import Passwords
from data.contracts.common import OrderRequest
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.shop import OrderInitiated
from data.contracts.topics import SHOP_ORDERS, dead_letters
from data.kit import migrate, outbox
from data.kit.consumer import Consumer, Handler
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.kit.relay import Relay
from data.kit.settings import Settings
from data.shop import repository as shop
from serve_app.shop.service import begin
from serve_app.status.handlers import handle_event

CONNECTIONS, SECONDS, WARM_UP_S = 16, 8.0, 2.0
EVENTS = 100_000
OWNER, WISH = "0199e0a0-0000-7000-8000-000000000000", OrderRequest(process="casting", material="silver-925", quantity=1)
Row = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every item is given: the databases' URLs, the broker's address, a folder, and whom to tell the progress."""

    urls: dict[str, str]
    bootstrap: str
    folder: Path
    on_progress: Callable[[str], None]


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    chosen = parser.parse_args().items or list(ITEMS)
    title = f"On {len(os.sched_getaffinity(0))} cores, clients and servers together"
    table = Table(title=title, title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    try:
        with tempfile.TemporaryDirectory() as name, Console(stderr=True).status("starting the servers") as status:
            folder = Path(name)
            passwords = Passwords(folder / "passwords.json")
            topics = [SHOP_ORDERS, dead_letters("status")]
            with (
                running(postgres.part(folder / "postgresql", folder, passwords)) as database,
                running(kafka_part.part(folder / "kafka", folder, topics, status.update)) as broker,
            ):
                urls = postgres.urls(database.address, passwords)
                for service in ("shop", "status"):
                    migrate.up(urls[service], service)
                bench = Bench(urls, broker.address, folder, status.update)
                for item in chosen:
                    for row in ITEMS[item](bench):
                        table.add_row(*row)
    finally:
        Console(width=150).print(table)


def order_event(order: UUID) -> OrderInitiated:
    """The event of a new order."""
    return OrderInitiated(order_id=order, owner_id=OWNER, by=OWNER, revision=1, **WISH.model_dump())


def transactions(bench: Bench) -> list[Row]:
    """New orders a second through the service's own code, over what pgbench does with the same statements."""
    pgbench, at_once = pgbench_rate(bench, at_once=False), pgbench_rate(bench, at_once=True)
    rows = []
    for processes in (1, 2):
        ours = our_rate(bench, processes)
        who = f"{processes} process{'es' * (processes > 1)}"
        what = f"new orders from {who}, {ours:,.0f}/s, over pgbench's {pgbench:,.0f}/s"
        rows.append((what, f"{ours / pgbench:.2f}", "0.2", "0.4"))
        rows.append((f"the same over pgbench that pipelines, {at_once:,.0f}/s", f"{ours / at_once:.2f}", "", ""))
    return rows


def our_rate(bench: Bench, processes: int) -> float:
    """Orders a second from so many processes, which share the connections among them."""
    empty(bench)
    bench.tell(f"new orders, {processes} processes")
    share = CONNECTIONS // processes
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return sum(pool.starmap(_take_orders, [(bench.urls["shop"], share)] * processes))


def _take_orders(url: str, connections: int) -> float:
    return uvloop.run(_orders_a_second(url, connections))  # as Ray runs a replica


async def _orders_a_second(url: str, connections: int) -> float:
    done, begun = 0, time.perf_counter() + WARM_UP_S

    async def customer() -> None:
        nonlocal done
        while (now := time.perf_counter()) < begun + SECONDS:
            async with database.transaction() as connection:
                await begin(connection, new_id(), OWNER, False, WISH)
            done += now > begun

    async with Database(url, Settings(database_pool=connections)) as database:
        await asyncio.gather(*(customer() for _ in range(connections)))
    return done / SECONDS


def pgbench_rate(bench: Bench, at_once: bool) -> float:
    """Transactions a second of the statements of a new order; ``at_once``: in pipeline mode, for one round trip."""
    empty(bench)
    bench.tell("pgbench" + ", pipelining" * at_once)
    given = {**shop.CREATE.given, **shop.creation(order_event(new_id()))}
    ident = "lpad(to_hex(:n::bigint * 1000 + :client_id::int), 32, '0')"  # ascending, as ours are
    varying = {"id": ident, "order_id": ident, "subject": ident}
    fixed = {name: value for name, value in given.items() if name not in varying and value is not None}

    def written(found: re.Match[str]) -> str:
        return varying.get(found[1]) or (f":{found[1]}" if found[1] in fixed else "NULL")

    create = " ".join(re.sub(r"%\((\w+)\)s", written, str(shop.CREATE)).split())
    lines = ["\\set n :n + 1", *["\\startpipeline"] * at_once, "BEGIN;", f"{create};", "END;"]
    script = bench.folder / "order.sql"
    script.write_text("\n".join([*lines, *["\\endpipeline"] * at_once, ""]))
    variables = [f"--define={name}={value}" for name, value in {**fixed, "n": 0}.items()]
    options = [f"--client={CONNECTIONS}", "--jobs=2", "--protocol=prepared", f"--time={SECONDS:.0f}", "--no-vacuum"]
    command = [str(postgres.binaries() / "pgbench"), *options, f"--file={script}", *variables, bench.urls["shop"]]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"tps = ([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def relaying(bench: Bench) -> list[Row]:
    """Events a second from a full outbox to Kafka."""
    fill(bench, EVENTS)
    bench.tell(f"the relay and {EVENTS:,} events")
    rate = uvloop.run(_relayed(bench))
    return [(f"relay, events a second of {EVENTS:,} in the outbox to Kafka", f"{rate:,.0f}", "10,000", "30,000")]


async def _relayed(bench: Bench) -> float:
    async with Database(bench.urls["shop"]) as database:
        relay = Relay(database, bench.bootstrap, "shop")
        task = asyncio.create_task(relay.run())
        begun = time.perf_counter()
        while relay.published < EVENTS and not task.done():
            await asyncio.sleep(0.005)
        took = time.perf_counter() - begun
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return EVENTS / took


def consuming(bench: Bench) -> list[Row]:
    """Events a second that a consumer applies: without an effect, and in the read model of orders."""
    fill(bench, EVENTS)
    bench.tell("events for the consumer")
    uvloop.run(_relayed(bench))

    rows = []
    for what, handler in (("that do nothing", _nothing), ("that build the read model of orders", handle_event)):
        bench.tell(f"a consumer of events {what}")
        rows.append((f"consumer, events a second {what}", f"{uvloop.run(_applied(bench, handler)):,.0f}", "", ""))
    return rows


async def _nothing(_connection: Connection, _event: CloudEvent, _data: EventData) -> None:
    """The inbox alone."""


async def _applied(bench: Bench, handler: Handler) -> float:
    async with Database(bench.urls["status"]) as database:
        consumer = Consumer(f"bench-{handler.__name__}", handler, database, bench.bootstrap, [SHOP_ORDERS])
        task = asyncio.create_task(consumer.run())
        while not consumer.applied and not task.done():
            await asyncio.sleep(0.005)
        before, begun = consumer.applied, time.perf_counter()
        while consumer.applied < EVENTS and time.perf_counter() < begun + SECONDS and not task.done():
            await asyncio.sleep(0.005)
        rate = (consumer.applied - before) / (time.perf_counter() - begun)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return rate


def fill(bench: Bench, count: int) -> None:
    """So many events in the shop's outbox, each of an order of its own."""
    empty(bench)
    bench.tell(f"{count:,} events into the outbox")
    order = new_id()
    given = outbox.parameters(order_event(order))
    ident = given["rest"].partition('"id":"')[2][:36]
    with psycopg.connect(bench.urls["shop"], autocommit=True) as connection:
        connection.execute(
            """INSERT INTO outbox (topic, subject, value)
            SELECT %(topic)s, made,
                '{"sequence":1' || replace(replace(%(rest)s, %(order)s, made), %(id)s, gen_random_uuid()::text)
            FROM (SELECT gen_random_uuid()::text AS made FROM generate_series(1, %(count)s)) AS orders""",
            {**given, "order": str(order), "id": ident, "count": count},
        )
        connection.execute("VACUUM ANALYZE outbox")


def empty(bench: Bench) -> None:
    """Nothing in the shop's database."""
    with psycopg.connect(bench.urls["shop"], autocommit=True) as connection:
        connection.execute("TRUNCATE orders, order_history, outbox, outbox_sequences")


ITEMS: dict[str, Callable[[Bench], Sequence[Row]]] = {
    "transactions": transactions,
    "relaying": relaying,
    "consuming": consuming,
}

if __name__ == "__main__":
    main()
