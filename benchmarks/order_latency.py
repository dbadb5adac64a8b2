"""How long people wait: from an order's submission to its price in the shop, and from a change to the browser."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.ring_models import write_ring, write_variant
from tests.services.stack import Stack, eventually

SEGMENTS = 100  # squared: facets
NEW, NEW_A_SECOND = 90, 2.0
RING = Path(__file__).parents[2] / "shared" / "models" / "geometry_ring.stl"
VARIANTS, VARIANTS_A_SECOND = 64, 1.0
KNOWN, KNOWN_A_SECOND = 200, 10.0
BROWSERS, CHANGES_A_SECOND = 20, 10.0
Row = tuple[str, str, str, str]


def prices(stack: Stack) -> list[Row]:
    """Orders at a fixed rate: of models that all differ, then of the same ones, whose analyses are known."""
    with tempfile.TemporaryDirectory() as folder:
        models = [write_ring(Path(folder) / f"{n}.stl", n, SEGMENTS).read_bytes() for n in range(NEW)]
    for model in models[:4]:
        stack.reaches(stack.order(model + b"", material="brass"), "PRICE_CALCULATED", "REVIEW_REQUIRED")  # warm workers
    new = _waits(stack, models[4:], NEW - 4, NEW_A_SECOND)
    known = _waits(stack, models, KNOWN, KNOWN_A_SECOND)
    what = f"{SEGMENTS**2:,} facets, submission to price in the shop"
    return [
        (f"{what}, new models at {NEW_A_SECOND:g}/s, p50", f"{new[0]:.0f} ms", "400 ms", "200 ms"),
        (f"{what}, new models at {NEW_A_SECOND:g}/s, p99", f"{new[1]:.0f} ms", "1,500 ms", "600 ms"),
        (f"{what}, known models at {KNOWN_A_SECOND:g}/s, p50", f"{known[0]:.0f} ms", "150 ms", ""),
        (f"{what}, known models at {KNOWN_A_SECOND:g}/s, p99", f"{known[1]:.0f} ms", "", ""),
    ]


def jewellery(stack: Stack) -> list[Row]:
    """Orders of variants of a real ring that all differ, at a fixed rate; nothing where the shared models are not."""
    if not RING.is_file():
        return [(f"{RING.name} is not here", "-", "", "")]
    with tempfile.TemporaryDirectory() as folder:
        models = [write_variant(Path(folder) / f"{n}.stl", RING, n + 1).read_bytes() for n in range(VARIANTS)]
    for model in models[:4]:
        stack.reaches(stack.order(model, material="brass"), "PRICE_CALCULATED", "REVIEW_REQUIRED")  # warm workers
    p50, p99 = _waits(stack, models[4:], VARIANTS - 4, VARIANTS_A_SECOND)
    what = f"variants of {RING.stem}, submission to price in the shop, at {VARIANTS_A_SECOND:g}/s"
    return [(f"{what}, p50", f"{p50:.0f} ms", "", ""), (f"{what}, p99", f"{p99:.0f} ms", "", "")]


def _waits(stack: Stack, models: Sequence[bytes], count: int, rate: float) -> tuple[float, float]:
    """Milliseconds from SUBMITTED to the price in the shop's history: p50 and p99."""
    begin = time.monotonic()
    stack.as_user("customer")

    def place(number: int) -> str:
        _wait_until(begin + number / rate)
        return stack.order(models[number % len(models)], material="silver-925")

    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(place, range(count)))
    return _percentiles(_waited(stack, ident) for ident in orders)


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _waited(stack: Stack, ident: str) -> float:
    def look() -> list[dict[str, Any]] | None:
        history: list[dict[str, Any]] = stack.get(f"/shop/orders/{ident}", "customer").json()["history"]
        return history if history[-1]["status"] != "SUBMITTED" else None

    at = {line["status"]: datetime.fromisoformat(line["at"]) for line in eventually(look, "a price")}
    submitted = at.pop("SUBMITTED")
    return 1000 * (max(at.values()) - submitted).total_seconds()


def _percentiles(waited: Iterable[float]) -> tuple[float, float]:
    """p50 and p99; of less than a hundred, the longest."""
    ascending = sorted(waited)
    return ascending[len(ascending) // 2], ascending[int(0.99 * len(ascending))]


def browsers(stack: Stack) -> list[Row]:
    """Changes of orders that browsers watch, steadily and all at once: from the change to its arrival."""
    _changes(stack, CHANGES_A_SECOND, rounds=2)  # warm replicas
    steady, at_once = _changes(stack, CHANGES_A_SECOND, rounds=10), _changes(stack, None, rounds=5)
    what = f"status change to browser, {BROWSERS} browsers, changes at {CHANGES_A_SECOND:g}/s"
    burst = f"the same, {BROWSERS} changes at once"
    return [
        (f"{what}, p50", f"{steady[0]:.0f} ms", "", ""),
        (f"{what}, p99", f"{steady[1]:.0f} ms", "100 ms", ""),
        (f"{burst}, p50", f"{at_once[0]:.0f} ms", "", ""),
        (f"{burst}, p99", f"{at_once[1]:.0f} ms", "", ""),
    ]


def _changes(stack: Stack, rate: float | None, rounds: int) -> tuple[float, float]:
    """Milliseconds to the browser, p50 and p99; ``rate``: changes a second, None for one right after the other."""
    waited: list[float] = []
    with ThreadPoolExecutor(BROWSERS) as pool:
        for _ in range(rounds):
            orders = [_begun(stack) for _ in range(BROWSERS)]
            ready = threading.Barrier(BROWSERS + 1)
            watching = [pool.submit(_watch, stack, ident, ready) for ident in orders]
            ready.wait()
            time.sleep(0.5)
            begin = time.monotonic()
            for number, ident in enumerate(orders):
                if rate:
                    _wait_until(begin + number / rate)
                stack.post(f"/shop/orders/{ident}/cancel", "customer", json={"reason": "measured"}).raise_for_status()
            waited += [one.result() for one in watching]
    return _percentiles(waited)


def _begun(stack: Stack) -> str:
    made = stack.post("/shop/orders", "customer", json={"material": "brass"}).raise_for_status().json()
    stack.reaches(made["order_id"], "INITIATED")
    return str(made["order_id"])


def _watch(stack: Stack, ident: str, ready: threading.Barrier) -> float:
    """Milliseconds from the last change to its arrival."""
    with stack.http.stream("GET", f"/status/orders/{ident}/events", headers=stack.as_user("customer")) as events:
        ready.wait()
        for line in events.iter_lines():
            if line.startswith("data:") and "CANCELLED" in line:
                happened = datetime.fromisoformat(json.loads(line[5:])["at"])
                return 1000 * (datetime.now(UTC) - happened).total_seconds()
    raise RuntimeError(f"the stream of {ident} ended before the change")
