"""The services over HTTP against baseline handlers on the same Serve, servers and machine.

``python -m benchmarks.services [ITEM ...]`` starts and stops a stack in a folder of its own. Items: reads, submits,
first_pages, prices, jewellery, browsers. Ratios are of requests per second over 16 connections within one run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.http_load import LoadResult, load, request
from benchmarks.order_latency import browsers, jewellery, prices
from benchmarks.rows import SeededOrders, seed_orders
from cluster.local.ray_nodes import client_environment
from tests.support.stack import Stack, running

SECONDS = 10.0
FEW, MANY = 10_000, 1_000_000
Row = tuple[str, str, str, str]


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    parser.add_argument("--orders", type=int, default=MANY, help="number of orders in the databases")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM stops the stack too, like Ctrl-C
    table = Table(title=f"On {os.cpu_count()} cores, client and servers together", title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    console = Console(width=150, stderr=True)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            console.status("starting the stack") as status,
            running(Path(folder)) as stack,
        ):

            def on_progress(text: str) -> None:
                status.update(text)
                if not console.is_terminal:
                    console.print(f"{time.strftime('%H:%M:%S')} {text}")

            bench = Bench(stack, options.orders, on_progress)
            for item in options.items or ITEMS:
                on_progress(item)
                for row in ITEMS[item](bench):
                    table.add_row(*row)
    finally:
        console.print(table)


class Bench:
    """A running stack, the URLs of its databases, and their rows, seeded on demand."""

    def __init__(self, stack: Stack, orders: int, on_progress: Callable[[str], None]) -> None:
        self.stack, self.orders, self.on_progress = stack, orders, on_progress
        self.urls = stack.database_urls()
        self._seeded: dict[int, SeededOrders] = {}
        self._baseline_deployed = False

    def seeded(self, orders: int) -> SeededOrders:
        """Return the ids after seeding ``orders`` orders in every database."""
        if orders not in self._seeded:
            self.on_progress(f"filling the databases with {orders:,} orders")
            self._seeded[orders] = seed_orders(self.urls, orders)
        return self._seeded[orders]

    def rate(self, what: str, make_request: Callable[[], bytes]) -> LoadResult:
        """Measure the rate of the requests of ``make_request``."""
        self.on_progress(f"measuring {what}")
        measured = load(self.stack.url, make_request, SECONDS)
        if measured.failed:
            raise RuntimeError(f"{what}: {measured.failed} of {len(measured.seconds)} requests failed")
        return measured

    def hello(self) -> LoadResult:
        """Measure the baseline's hello handler."""
        self._deploy_baseline()
        return self.rate("the baseline's hello", lambda: request("GET", "/baseline/hello", {}))

    def submissions(self, path: str, headers: dict[str, str]) -> LoadResult:
        """Measure submissions of the uploaded orders, each once, at ``path``."""
        self._deploy_baseline()
        waiting = iter(self.seeded(self.orders).uploaded)
        del self._seeded[self.orders]  # they can be submitted only once
        result = self.rate(path, lambda: request("POST", path.format(next(waiting)), headers))
        self.wait_until_idle()
        return result

    def wait_until_idle(self) -> None:
        """Wait until all events are published and consumed, so that they do not affect the next measurement."""
        self.on_progress("waiting for pending events")
        with (
            psycopg.connect(self.urls["shop"], autocommit=True) as shop,
            psycopg.connect(self.urls["pricing"], autocommit=True) as pricing,
        ):
            idle_s = 0
            while idle_s < 5:
                unpublished = shop.execute("SELECT count(*) FROM outbox").fetchone()
                unpriced = pricing.execute("SELECT count(*) FROM quotes WHERE finished_at IS NULL").fetchone()
                idle_s = idle_s + 1 if unpublished == unpriced == (0,) else 0
                time.sleep(1)

    def _deploy_baseline(self) -> None:
        """Deploy the baseline handlers, in a separate process that connects to the stack's Ray."""
        if self._baseline_deployed:
            return
        token = self.stack.folder / ".facet" / "stack" / "ray-token"
        environment = {**client_environment(token), "RAY_ADDRESS": self.stack.part("ray-head")["address"]}
        merged = {**os.environ, **environment}
        environment = {name: value for name, value in merged.items() if value is not None}
        subprocess.run([sys.executable, "-m", "benchmarks.baselines", self.urls["shop"]], env=environment, check=True)
        self._baseline_deployed = True


def get_from(path: Callable[[], str], headers: dict[str, str]) -> Callable[[], bytes]:
    """Return a function that builds a GET request of the next ``path``."""
    return lambda: request("GET", path(), headers)


def reads(bench: Bench) -> list[Row]:
    """Measure status, boards and lists over the baseline's hello, with all orders in the databases."""
    seeded, rows = bench.seeded(bench.orders), []
    hello = bench.hello()
    for what, path, account in (
        ("status of an order", lambda: f"/status/orders/{random.choice(seeded.customer_orders)}", "customer"),
        ("own orders, 20", lambda: "/status/orders?limit=20", "customer"),
        ("a seller's board, 20", lambda: "/crm/orders?status=PRICE_CALCULATED&limit=20", "seller"),
        ("the operators' board, 20", lambda: "/mes/orders?status=MANUFACTURING_APPROVED&limit=20", "operator"),
    ):
        result = bench.rate(what, get_from(path, bench.stack.as_user(account)))
        ratio = result.rate / hello.rate
        rows.append((f"{what}, over the baseline's hello ({hello.rate:,.0f}/s)", f"{ratio:.2f}", "0.4", "0.6"))
        rows.append((f"{what}, p99 at 16 connections", f"{1000 * result.percentile(0.99):.1f} ms", "25 ms", ""))
    return rows


def submits(bench: Bench) -> list[Row]:
    """Measure submissions over the same SQL in the baseline handler."""
    baseline = bench.submissions("/baseline/orders/{}", {})
    result = bench.submissions("/shop/orders/{}/submit", bench.stack.as_user("customer"))
    what = f"submitting orders, over the same SQL in the baseline handler ({baseline.rate:,.0f}/s)"
    p99 = ("submitting orders, p99 at 16 connections", f"{1000 * result.percentile(0.99):.1f} ms", "", "")
    return [(what, f"{result.rate / baseline.rate:.2f}", "0.5", "0.8"), p99]


def first_pages(bench: Bench) -> list[Row]:
    """Measure the first page of a board over few and over many orders."""
    medians = []
    for orders in (FEW, bench.orders):
        bench.seeded(orders)
        headers = bench.stack.as_user("seller")
        path = "/crm/orders?status=PRICE_CALCULATED&limit=20"
        medians.append(bench.rate(f"a board of {orders:,}", lambda: request("GET", path, headers)).percentile(0.5))  # noqa: B023
    return [(f"first page at {bench.orders:,} over at {FEW:,} orders", f"{medians[1] / medians[0]:.2f}", "1.3", "")]


ITEMS: dict[str, Callable[[Bench], Sequence[Row]]] = {
    "first_pages": first_pages,
    "reads": reads,
    "submits": submits,
    "prices": lambda bench: prices(bench.stack),
    "jewellery": lambda bench: jewellery(bench.stack),
    "browsers": lambda bench: browsers(bench.stack),
}


if __name__ == "__main__":
    main()
