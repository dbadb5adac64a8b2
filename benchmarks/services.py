"""The services over HTTP against bare handlers on the same Serve, the same servers and the same machine.

``python -m benchmarks.services [ITEM ...]`` brings a stack up in a folder of its own and ends it. Items: reads,
submits, first_pages, prices, jewellery, browsers. Ratios are of requests a second over 16 connections within one run.
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
from tests.services.stack import Stack, running

SECONDS = 10.0
FEW, MANY = 10_000, 1_000_000
Row = tuple[str, str, str, str]


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    parser.add_argument("--orders", type=int, default=MANY, help="how many orders lie in the databases")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit ends it like Ctrl-C: with its stack
    table = Table(title=f"On {os.cpu_count()} cores, client and servers together", title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    console = Console(width=150, stderr=True)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            console.status("bringing the stack up") as status,
            running(Path(folder)) as stack,
        ):

            def on_progress(text: str) -> None:
                status.update(text)
                if not console.is_terminal:
                    console.print(f"{time.strftime('%H:%M:%S')} {text}")

            bench = Bench(stack, chosen.orders, on_progress)
            for item in chosen.items or ITEMS:
                on_progress(item)
                for row in ITEMS[item](bench):
                    table.add_row(*row)
    finally:
        console.print(table)


class Bench:
    """A running stack, the URLs of its databases, and rows in them once somebody asks."""

    def __init__(self, stack: Stack, orders: int, on_progress: Callable[[str], None]) -> None:
        self.stack, self.orders, self.tell = stack, orders, on_progress
        self.urls = stack.database_urls()
        self._filled: dict[int, SeededOrders] = {}
        self._has_bare = False

    def filled(self, orders: int) -> SeededOrders:
        """So many orders in every database."""
        if orders not in self._filled:
            self.tell(f"filling the databases with {orders:,} orders")
            self._filled[orders] = seed_orders(self.urls, orders)
        return self._filled[orders]

    def rate(self, what: str, make: Callable[[], bytes]) -> LoadResult:
        """Requests a second of what ``make`` gives."""
        self.tell(f"measuring {what}")
        measured = load(self.stack.url, make, SECONDS)
        if measured.failed:
            raise RuntimeError(f"{what}: {measured.failed} of {len(measured.seconds)} requests failed")
        return measured

    def hello(self) -> LoadResult:
        """A bare Serve handler that says hello."""
        self._bare()
        return self.rate("a bare hello", lambda: request("GET", "/bare/hello", {}))

    def submissions(self, path: str, headers: dict[str, str]) -> LoadResult:
        """Submissions of orders that wait for it, each once, at ``path``."""
        self._bare()
        waiting = iter(self.filled(self.orders).uploaded)
        del self._filled[self.orders]  # they are used up
        found = self.rate(path, lambda: request("POST", path.format(next(waiting)), headers))
        self.settle()
        return found

    def settle(self) -> None:
        """Wait until all events are published and consumed, so that nothing works beside the next measurement."""
        self.tell("waiting until all is quiet")
        with (
            psycopg.connect(self.urls["shop"], autocommit=True) as shop,
            psycopg.connect(self.urls["pricing"], autocommit=True) as pricing,
        ):
            quiet = 0
            while quiet < 5:
                left = shop.execute("SELECT count(*) FROM outbox").fetchone()
                unpriced = pricing.execute("SELECT count(*) FROM quotes WHERE finished_at IS NULL").fetchone()
                quiet = quiet + 1 if left == unpriced == (0,) else 0
                time.sleep(1)

    def _bare(self) -> None:
        """Deploy the bare handlers, in a process of their own that speaks to the stack's Ray."""
        if self._has_bare:
            return
        token = self.stack.folder / ".facet" / "stack" / "ray-token"
        environment = {**client_environment(token), "RAY_ADDRESS": self.stack.part("ray-head")["address"]}
        merged = {**os.environ, **environment}
        known = {name: value for name, value in merged.items() if value is not None}
        subprocess.run([sys.executable, "-m", "benchmarks.baselines", self.urls["shop"]], env=known, check=True)
        self._has_bare = True


def reads(bench: Bench) -> list[Row]:
    """Status, boards and lists against a hello, with all orders behind them."""
    filled, rows = bench.filled(bench.orders), []
    hello = bench.hello()
    for what, path, who in (
        ("status of an order", lambda: f"/status/orders/{random.choice(filled.of_customer)}", "customer"),
        ("own orders, 20 of them", lambda: "/status/orders?limit=20", "customer"),
        ("a seller's board, 20", lambda: "/crm/orders?status=PRICE_CALCULATED&limit=20", "seller"),
        ("the operators' board, 20", lambda: "/mes/orders?status=MANUFACTURING_APPROVED&limit=20", "operator"),
    ):
        headers = bench.stack.as_user(who)
        found = bench.rate(what, lambda path=path, headers=headers: request("GET", path(), headers))  # type: ignore[misc]
        ratio = found.rate / hello.rate
        rows.append((f"{what}, over a bare hello ({hello.rate:,.0f}/s)", f"{ratio:.2f}", "0.4", "0.6"))
        rows.append((f"{what}, p99 at 16 connections", f"{1000 * found.percentile(0.99):.1f} ms", "25 ms", ""))
    return rows


def submits(bench: Bench) -> list[Row]:
    """Submissions against the same SQL in a bare handler."""
    bare_rate = bench.submissions("/bare/orders/{}", {})
    found = bench.submissions("/shop/orders/{}/submit", bench.stack.as_user("customer"))
    what = f"submitting orders, over the same SQL in a bare handler ({bare_rate.rate:,.0f}/s)"
    p99 = ("submitting orders, p99 at 16 connections", f"{1000 * found.percentile(0.99):.1f} ms", "", "")
    return [(what, f"{found.rate / bare_rate.rate:.2f}", "0.5", "0.8"), p99]


def first_pages(bench: Bench) -> list[Row]:
    """The first page of a board with few orders and with many behind it."""
    took = []
    for orders in (FEW, bench.orders):
        bench.filled(orders)
        headers = bench.stack.as_user("seller")
        path = "/crm/orders?status=PRICE_CALCULATED&limit=20"
        took.append(bench.rate(f"a board of {orders:,}", lambda: request("GET", path, headers)).percentile(0.5))  # noqa: B023
    return [(f"first page at {bench.orders:,} over at {FEW:,} orders", f"{took[1] / took[0]:.2f}", "1.3", "")]


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
