"""Place orders and move them on while servers die: record every acknowledgement, retry every request.

Without a response, or with one that reports an unavailable service, a request is repeated: a POST with the same
Idempotency-Key, a step after checking whether it was taken. So everything acknowledged in the ledger must exist in the
end, and once.
"""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.ring_models import write_ring
from serve_app.kit.problems import MEDIA_TYPE
from tests.support.chaos.seed import stream
from tests.support.stack import Stack

STATUSES = (
    "INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED", "MANUFACTURING_STARTED",
    "MANUFACTURING_COMPLETED", "PACKAGING", "SHIPPED",
)  # fmt: skip
LATER_STEPS = (
    ("seller", "/crm/orders/{}", "approve", "MANUFACTURING_APPROVED"),
    ("operator", "/mes/orders/{}", "claim", "MANUFACTURING_STARTED"),
    ("operator", "/mes/orders/{}", "complete", "MANUFACTURING_COMPLETED"),
    ("operator", "/mes/orders/{}", "package", "PACKAGING"),
    ("operator", "/mes/orders/{}", "ship", "SHIPPED"),
)
PEOPLE = ("customer", "partner", "seller", "operator")
PLACERS, CARRIERS = 4, 3
CARRY_ONE_IN, PARTNERS_ONE_IN = 3, 5
RESPONSE_TIMEOUT_S = 10.0
"""For one response. A server that dies during a request may never close the connection."""
MODEL_SEGMENTS = 32
_FIRST_MODELS, _MODELS_PER_SEED = (1_000, 100_000), 100_000
_UNAVAILABLE = frozenset({502, 503, 504})


class GivenUp(Exception):
    """There was no time left to retry."""


@dataclass(slots=True)
class Order:
    """An order as seen by its users. ``acknowledged``: the last status that a service confirmed."""

    order_id: str
    who: str
    acknowledged: str
    carried: bool


@dataclass
class Ledger:
    """What was acknowledged and when, and the number of responses by status code, or by the error instead."""

    orders: dict[str, Order] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    acknowledged_at: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, order: Order, status: str) -> None:
        """Record that a service confirmed ``status`` for ``order``."""
        with self._lock:
            order.acknowledged = status
            self.orders[order.order_id] = order
            self.acknowledged_at.append(time.time())

    def answered(self, what: str, fault: str | None = None) -> None:
        """Record a response, or its absence; ``fault``: a response that no outage excuses."""
        with self._lock:
            self.answers[what] += 1
            if fault:
                self.faults.append(fault)

    def give_up(self, what: str) -> None:
        """Record that a started request had no time to finish."""
        with self._lock:
            self.given_up.append(what)


class Traffic:
    """Threads that place about ``rate`` orders a second and move one in three on until it is shipped."""

    def __init__(self, stack: Stack, folder: Path, rate: float, seed: int) -> None:
        self.ledger = Ledger()
        self._stack, self._folder, self._rate = stack, folder, rate
        self._first_model = first_model(seed)
        self._headers = {who: stack.as_user(who) for who in PEOPLE}
        self._to_carry: queue.Queue[Order | None] = queue.Queue()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._placers = [threading.Thread(target=self._place, args=(n,), name=f"placer {n}") for n in range(PLACERS)]
        self._carriers = [threading.Thread(target=self._carry, name=f"carrier {n}") for n in range(CARRIERS)]

    def start(self) -> None:
        """Start the threads."""
        for thread in (*self._placers, *self._carriers):
            thread.start()

    def stop(self, within_s: float) -> None:
        """Start nothing new, and wait until everything started has finished; give it up after ``within_s``."""
        self._closing.set()
        self._give_up_at = time.monotonic() + within_s
        for thread in self._placers:
            thread.join()
        for _ in self._carriers:
            self._to_carry.put(None)
        for thread in self._carriers:
            thread.join()

    def _place(self, number: int) -> None:
        period, placed = PLACERS / self._rate, 0
        due = time.monotonic() + number / self._rate
        with httpx.Client(base_url=self._stack.url, timeout=RESPONSE_TIMEOUT_S) as http:
            while not self._closing.wait(max(0.0, due - time.monotonic())):
                due = max(due + period, time.monotonic())
                which = number + PLACERS * placed
                placed += 1
                ring = self._folder / f"ring-{number}.stl"
                model = write_ring(ring, self._first_model + which, MODEL_SEGMENTS).read_bytes()
                try:
                    self._order(http, which, model)
                except GivenUp as what:
                    self.ledger.give_up(str(what))

    def _order(self, http: httpx.Client, which: int, model: bytes) -> None:
        request: dict[str, Any] = {"process": "casting", "material": "silver-925", "priority": "standard"}
        if which % 4 == 0:
            request["priority"] = "express"
        key, carried = uuid.uuid4().hex, which % CARRY_ONE_IN == 0
        files = {"model": ("ring.stl", model)}
        if which % PARTNERS_ONE_IN == 0:
            created = self._create(http, "POST", "/partners/v1/orders", "partner", key, data=request, files=files)
            order = Order(created["order_id"], "partner", "INITIATED", carried)
            self.ledger.acknowledge(order, created["status"])
        else:
            created = self._create(http, "POST", "/shop/orders", "customer", key, json=request)
            order = Order(created["order_id"], "customer", "INITIATED", carried)
            self.ledger.acknowledge(order, "INITIATED")
            shop = f"/shop/orders/{order.order_id}"

            def upload() -> httpx.Response:
                return http.put(f"{shop}/model", headers=self._headers["customer"], files=files)

            def submit() -> httpx.Response:
                return http.post(f"{shop}/submit", headers=self._headers["customer"])

            self._step(http, order, shop, "customer", "FILE_UPLOADED", upload)
            self._step(http, order, shop, "customer", "SUBMITTED", submit)
        if carried:
            self._to_carry.put(order)

    def _carry(self) -> None:
        with httpx.Client(base_url=self._stack.url, timeout=RESPONSE_TIMEOUT_S) as http:
            while (order := self._to_carry.get()) is not None:
                try:
                    for who, where, step, target in LATER_STEPS:
                        at = where.format(order.order_id)

                        def take(path: str = f"{at}/{step}", headers: dict[str, str] = self._headers[who]) -> Any:
                            return http.post(path, headers=headers)

                        self._step(http, order, at, who, target, take)
                except GivenUp as what:
                    self.ledger.give_up(str(what))

    def _step(
        self, http: httpx.Client, order: Order, where: str, who: str, target: str, take: Callable[[], httpx.Response]
    ) -> None:
        """Retry a step until its service confirms that the order has reached ``target``."""
        while True:
            answer = self._once(take, f"{target} of {order.order_id}")
            if answer is not None and answer.status_code == 409:
                answer = self._once(lambda: http.get(where, headers=self._headers[who]), f"GET of {order.order_id}")
            if answer is not None and answer.is_success and reached(answer.json()["status"], target):
                self.ledger.acknowledge(order, target)
                return
            self._pause(f"{target} of {order.order_id}")

    def _create(self, http: httpx.Client, method: str, path: str, who: str, key: str, **body: Any) -> dict[str, Any]:
        headers = {**self._headers[who], "Idempotency-Key": key}
        while True:
            answer = self._once(lambda: http.request(method, path, headers=headers, **body), path)
            if answer is not None and answer.is_success:
                created: dict[str, Any] = answer.json()
                return created
            self._pause(path)

    def _once(self, send: Callable[[], httpx.Response], what: str) -> httpx.Response | None:
        """Return the response; None without one, or if it reports an unavailable service."""
        try:
            answer = send()
        except httpx.TransportError as error:
            self.ledger.answered(type(error).__name__)
            return None
        code = answer.status_code
        if code == 500 and answer.headers.get("content-type") != MEDIA_TYPE:
            # Serve's proxy returns this if a replica dies during a request; errors of the services are problem details.
            self.ledger.answered("500 of the proxy")
            return None
        if code == 503 and answer.headers.get("content-type") == MEDIA_TYPE and "retry-after" not in answer.headers:
            self.ledger.answered("503 without Retry-After", f"{what}: 503 without Retry-After {answer.text[:300]}")
            return None
        # A step may be requested before its service has applied the previous one: 404 or 409 is no fault.
        expected = answer.is_success or code in _UNAVAILABLE or code in (404, 409)
        kind = "503 model store full" if code == 503 and "model store" in answer.text else str(code)
        self.ledger.answered(kind, None if expected else f"{what}: {code} {answer.text[:300]}")
        return None if code in _UNAVAILABLE else answer

    def _pause(self, what: str) -> None:
        if time.monotonic() > self._give_up_at:
            raise GivenUp(what)
        time.sleep(random.uniform(0.1, 0.4))


def first_model(seed: int) -> int:
    """Return the number of the first model of a run; no other run of the same stack is likely to have these numbers."""
    return _MODELS_PER_SEED * stream(seed, "models").randrange(*_FIRST_MODELS)


def reached(status: str, target: str) -> bool:
    """Return whether an order of ``status`` has reached ``target``."""
    return status in STATUSES and STATUSES.index(status) >= STATUSES.index(target)
