"""The transactional outbox: an order's transaction against pgbench, the relay, and a consumer.

``python -m benchmarks.outbox [ITEM ...]`` starts and stops a private PostgreSQL and Kafka. pgbench runs the same
prepared statements over as many connections, waiting for each result; another row pipelines a transaction, as Facet
does. Clients and servers share this machine, so run nothing else meanwhile.
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
from data.kit.applier import Handler
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.kit.relay import Relay
from data.kit.settings import DataSettings
from data.shop import repository as shop
from serve_app.shop.service import create_order
from serve_app.status.handlers import handle_event

CONNECTIONS, SECONDS, WARM_UP_S = 16, 8.0, 2.0
EVENTS = 100_000
OWNER, ITEM = "0199e0a0-0000-7000-8000-000000000000", OrderRequest(process="casting", material="silver-925", quantity=1)
Row = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Bench:
    """Parameters of every item: the databases' URLs, the broker's address, a folder, and a progress callback."""

    urls: dict[str, str]
    bootstrap: str
    folder: Path
    on_progress: Callable[[str], None]


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    options = parser.parse_args().items or list(ITEMS)
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
                for item in options:
                    for row in ITEMS[item](bench):
                        table.add_row(*row)
    finally:
        Console(width=150).print(table)


def order_event(order: UUID) -> OrderInitiated:
    """Return the event of a new order."""
    return OrderInitiated(order_id=order, owner_id=OWNER, by=OWNER, revision=1, **ITEM.model_dump())


def transactions(bench: Bench) -> list[Row]:
    """Measure new orders per second through the service's own code, over pgbench with the same statements."""
    pgbench, pipelined = pgbench_rate(bench, pipelined=False), pgbench_rate(bench, pipelined=True)
    rows = []
    for processes in (1, 2):
        facet = facet_rate(bench, processes)
        clients = f"{processes} process{'es' * (processes > 1)}"
        what = f"new orders from {clients}, {facet:,.0f}/s, over pgbench, {pgbench:,.0f}/s"
        rows.append((what, f"{facet / pgbench:.2f}", "0.2", "0.4"))
        rows.append((f"the same over pipelined pgbench, {pipelined:,.0f}/s", f"{facet / pipelined:.2f}", "", ""))
    return rows


def facet_rate(bench: Bench, processes: int) -> float:
    """Return orders per second from ``processes`` processes, which share the connections."""
    empty(bench)
    bench.on_progress(f"new orders, {processes} processes")
    share = CONNECTIONS // processes
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return sum(pool.starmap(_run_orders, [(bench.urls["shop"], share)] * processes))


def _run_orders(url: str, connections: int) -> float:
    return uvloop.run(_measure_orders(url, connections))  # as Ray runs a replica


async def _measure_orders(url: str, connections: int) -> float:
    done, started = 0, time.perf_counter() + WARM_UP_S

    async def customer() -> None:
        nonlocal done
        while (now := time.perf_counter()) < started + SECONDS:
            async with database.transaction() as connection:
                await create_order(connection, new_id(), OWNER, False, ITEM)
            done += now > started

    async with Database(url, DataSettings(database_pool=connections)) as database:
        await asyncio.gather(*(customer() for _ in range(connections)))
    return done / SECONDS


def pgbench_rate(bench: Bench, pipelined: bool) -> float:
    """Return transactions per second of the SQL of a new order; ``pipelined``: pipeline mode, one round trip."""
    empty(bench)
    bench.on_progress("pgbench" + ", pipelining" * pipelined)
    parameters = {**shop.CREATE.constants, **shop.creation_parameters(order_event(new_id()))}
    order_id = "lpad(to_hex(:n::bigint * 1000 + :client_id::int), 32, '0')"  # ascending, as Facet's ids are
    varying = {"id": order_id, "order_id": order_id, "subject": order_id}
    fixed = {name: value for name, value in parameters.items() if name not in varying and value is not None}

    def substitute(found: re.Match[str]) -> str:
        return varying.get(found[1]) or (f":{found[1]}" if found[1] in fixed else "NULL")

    create = " ".join(re.sub(r"%\((\w+)\)s", substitute, str(shop.CREATE)).split())
    lines = ["\\set n :n + 1", *["\\startpipeline"] * pipelined, "BEGIN;", f"{create};", "END;"]
    script = bench.folder / "order.sql"
    script.write_text("\n".join([*lines, *["\\endpipeline"] * pipelined, ""]))
    variables = [f"--define={name}={value}" for name, value in {**fixed, "n": 0}.items()]
    options = [f"--client={CONNECTIONS}", "--jobs=2", "--protocol=prepared", f"--time={SECONDS:.0f}", "--no-vacuum"]
    command = [str(postgres.binaries() / "pgbench"), *options, f"--file={script}", *variables, bench.urls["shop"]]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"tps = ([\d.]+)", output)
    assert found is not None, output
    return float(found[1])


def relaying(bench: Bench) -> list[Row]:
    """Measure events per second from a full outbox to Kafka."""
    fill(bench, EVENTS)
    bench.on_progress(f"the relay and {EVENTS:,} events")
    rate = uvloop.run(_measure_relay(bench))
    return [(f"relay, events per second from an outbox of {EVENTS:,} to Kafka", f"{rate:,.0f}", "10,000", "30,000")]


async def _measure_relay(bench: Bench) -> float:
    async with Database(bench.urls["shop"]) as database:
        relay = Relay(database, bench.bootstrap, "shop")
        task = asyncio.create_task(relay.run())
        started = time.perf_counter()
        while relay.published < EVENTS and not task.done():
            await asyncio.sleep(0.005)
        took = time.perf_counter() - started
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return EVENTS / took


def consuming(bench: Bench) -> list[Row]:
    """Measure events per second that a consumer applies: with a no-op handler, and in the read model of orders."""
    fill(bench, EVENTS)
    bench.on_progress("events for the consumer")
    uvloop.run(_measure_relay(bench))

    rows = []
    for what, handler in (("with a no-op handler", _no_op), ("into the read model of orders", handle_event)):
        bench.on_progress(f"a consumer {what}")
        rows.append(
            (f"consumer, events per second {what}", f"{uvloop.run(_measure_consumer(bench, handler)):,.0f}", "", "")
        )
    return rows


async def _no_op(_connection: Connection, _event: CloudEvent, _data: EventData) -> None:
    """Do nothing beside the inbox."""


async def _measure_consumer(bench: Bench, handler: Handler) -> float:
    async with Database(bench.urls["status"]) as database:
        consumer = Consumer(f"bench-{handler.__name__}", handler, database, bench.bootstrap, [SHOP_ORDERS])
        task = asyncio.create_task(consumer.run())
        while not consumer.applied and not task.done():
            await asyncio.sleep(0.005)
        before, started = consumer.applied, time.perf_counter()
        while consumer.applied < EVENTS and time.perf_counter() < started + SECONDS and not task.done():
            await asyncio.sleep(0.005)
        rate = (consumer.applied - before) / (time.perf_counter() - started)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return rate


def fill(bench: Bench, count: int) -> None:
    """Insert ``count`` events into the shop's outbox, each of a different order."""
    empty(bench)
    bench.on_progress(f"{count:,} events into the outbox")
    order = new_id()
    parameters = outbox.parameters(order_event(order))
    event_id = parameters["members"].partition('"id":"')[2][:36]
    with psycopg.connect(bench.urls["shop"], autocommit=True) as connection:
        connection.execute(
            """INSERT INTO outbox (topic, subject, value)
            SELECT %(topic)s, made,
                '{"sequence":1' || replace(replace(%(members)s, %(order)s, made), %(id)s, gen_random_uuid()::text)
            FROM (SELECT gen_random_uuid()::text AS made FROM generate_series(1, %(count)s)) AS orders""",
            {**parameters, "order": str(order), "id": event_id, "count": count},
        )
        connection.execute("VACUUM ANALYZE outbox")


def empty(bench: Bench) -> None:
    """Truncate the shop's tables."""
    with psycopg.connect(bench.urls["shop"], autocommit=True) as connection:
        connection.execute("TRUNCATE orders, order_history, outbox, outbox_sequences")


ITEMS: dict[str, Callable[[Bench], Sequence[Row]]] = {
    "transactions": transactions,
    "relaying": relaying,
    "consuming": consuming,
}

if __name__ == "__main__":
    main()
