"""End-to-end latency: from an order's submission to its price in the shop, and from a status change to the browser."""

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
from tests.support.stack import Stack
from tests.support.waiting import eventually

SEGMENTS = 100  # squared: facets
NEW_MODELS, NEW_RATE = 90, 2.0
RING = Path(__file__).parents[2] / "shared" / "models" / "geometry_ring.stl"
VARIANTS, VARIANT_RATE = 64, 1.0
CACHED_MODELS, CACHED_RATE = 200, 10.0
BROWSERS, CHANGE_RATE = 20, 10.0
Row = tuple[str, str, str, str]


def prices(stack: Stack) -> list[Row]:
    """Measure orders at a fixed rate: of models that all differ, then of the same ones, whose analyses are cached."""
    with tempfile.TemporaryDirectory() as folder:
        models = [write_ring(Path(folder) / f"{n}.stl", n, SEGMENTS).read_bytes() for n in range(NEW_MODELS)]
    for model in models[:4]:
        stack.reaches(stack.order(model + b"", material="brass"), "PRICE_CALCULATED", "REVIEW_REQUIRED")  # warm workers
    new = _price_latencies(stack, models[4:], NEW_MODELS - 4, NEW_RATE)
    cached = _price_latencies(stack, models, CACHED_MODELS, CACHED_RATE)
    what = f"{SEGMENTS**2:,} facets, submission to price in the shop"
    return [
        (f"{what}, new models at {NEW_RATE:g}/s, p50", f"{new[0]:.0f} ms", "400 ms", "200 ms"),
        (f"{what}, new models at {NEW_RATE:g}/s, p99", f"{new[1]:.0f} ms", "1,500 ms", "600 ms"),
        (f"{what}, cached models at {CACHED_RATE:g}/s, p50", f"{cached[0]:.0f} ms", "150 ms", ""),
        (f"{what}, cached models at {CACHED_RATE:g}/s, p99", f"{cached[1]:.0f} ms", "", ""),
    ]


def jewellery(stack: Stack) -> list[Row]:
    """Measure orders of different variants of a real ring at a fixed rate; skip without the shared models."""
    if not RING.is_file():
        return [(f"skipped: no {RING.name}", "-", "", "")]
    with tempfile.TemporaryDirectory() as folder:
        models = [write_variant(Path(folder) / f"{n}.stl", RING, n + 1).read_bytes() for n in range(VARIANTS)]
    for model in models[:4]:
        stack.reaches(stack.order(model, material="brass"), "PRICE_CALCULATED", "REVIEW_REQUIRED")  # warm workers
    p50, p99 = _price_latencies(stack, models[4:], VARIANTS - 4, VARIANT_RATE)
    what = f"variants of {RING.stem}, submission to price in the shop, at {VARIANT_RATE:g}/s"
    return [(f"{what}, p50", f"{p50:.0f} ms", "", ""), (f"{what}, p99", f"{p99:.0f} ms", "", "")]


def _price_latencies(stack: Stack, models: Sequence[bytes], count: int, rate: float) -> tuple[float, float]:
    """Return milliseconds from SUBMITTED to the price in the shop's history: p50 and p99."""
    start = time.monotonic()
    stack.as_user("customer")

    def place_order(number: int) -> str:
        _wait_until(start + number / rate)
        return stack.order(models[number % len(models)], material="silver-925")

    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(place_order, range(count)))
    return _percentiles(_price_latency(stack, order_id) for order_id in orders)


def _wait_until(deadline: float) -> None:
    time.sleep(max(0.0, deadline - time.monotonic()))


def _price_latency(stack: Stack, order_id: str) -> float:
    def poll() -> list[dict[str, Any]] | None:
        history: list[dict[str, Any]] = stack.get(f"/shop/orders/{order_id}", "customer").json()["history"]
        return history if history[-1]["status"] != "SUBMITTED" else None

    at = {line["status"]: datetime.fromisoformat(line["at"]) for line in eventually(poll, "a price")}
    submitted = at.pop("SUBMITTED")
    return 1000 * (max(at.values()) - submitted).total_seconds()


def _percentiles(latencies: Iterable[float]) -> tuple[float, float]:
    """Return p50 and p99; for fewer than a hundred values p99 is the maximum."""
    ascending = sorted(latencies)
    return ascending[len(ascending) // 2], ascending[int(0.99 * len(ascending))]


def browsers(stack: Stack) -> list[Row]:
    """Measure status changes of orders that browsers watch, at a steady rate and in bursts."""
    _changes(stack, CHANGE_RATE, rounds=2)  # warm replicas
    steady, burst_latencies = _changes(stack, CHANGE_RATE, rounds=10), _changes(stack, None, rounds=5)
    what = f"status change to browser, {BROWSERS} browsers, changes at {CHANGE_RATE:g}/s"
    burst = f"the same, {BROWSERS} changes at once"
    return [
        (f"{what}, p50", f"{steady[0]:.0f} ms", "", ""),
        (f"{what}, p99", f"{steady[1]:.0f} ms", "100 ms", ""),
        (f"{burst}, p50", f"{burst_latencies[0]:.0f} ms", "", ""),
        (f"{burst}, p99", f"{burst_latencies[1]:.0f} ms", "", ""),
    ]


def _changes(stack: Stack, rate: float | None, rounds: int) -> tuple[float, float]:
    """Return milliseconds to the browser, p50 and p99; ``rate``: changes per second, None for a burst."""
    latencies: list[float] = []
    with ThreadPoolExecutor(BROWSERS) as pool:
        for _ in range(rounds):
            orders = [_create_order(stack) for _ in range(BROWSERS)]
            ready = threading.Barrier(BROWSERS + 1)
            watching = [pool.submit(_watch, stack, order_id, ready) for order_id in orders]
            ready.wait()
            time.sleep(0.5)
            start = time.monotonic()
            for number, order_id in enumerate(orders):
                if rate:
                    _wait_until(start + number / rate)
                stack.post(
                    f"/shop/orders/{order_id}/cancel", "customer", json={"reason": "measured"}
                ).raise_for_status()
            latencies += [one.result() for one in watching]
    return _percentiles(latencies)


def _create_order(stack: Stack) -> str:
    created = stack.post("/shop/orders", "customer", json={"material": "brass"}).raise_for_status().json()
    stack.reaches(created["order_id"], "INITIATED")
    return str(created["order_id"])


def _watch(stack: Stack, order_id: str, ready: threading.Barrier) -> float:
    """Return milliseconds from the cancellation to its event."""
    with stack.http.stream("GET", f"/status/orders/{order_id}/events", headers=stack.as_user("customer")) as events:
        ready.wait()
        for line in events.iter_lines():
            if line.startswith("data:") and "CANCELLED" in line:
                changed_at = datetime.fromisoformat(json.loads(line[5:])["at"])
                return 1000 * (datetime.now(UTC) - changed_at).total_seconds()
    raise RuntimeError(f"the stream of {order_id} ended before the change")
