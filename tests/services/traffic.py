"""Orders placed and carried on while servers die: every acknowledgement is written down, every question asked again.

A customer or partner who gets no answer, or one that says that a service is away, asks again: a POST with the same
Idempotency-Key, a step after a look at whether it has been taken. So what this ledger says was acknowledged must be
there in the end, and once.
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
from tests.services.seed import stream
from tests.services.stack import Stack

LIFE = (
    "INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED", "MANUFACTURING_STARTED",
    "MANUFACTURING_COMPLETED", "PACKAGING", "SHIPPED",
)  # fmt: skip
CARRIED_ON = (
    ("seller", "/crm/orders/{}", "approve", "MANUFACTURING_APPROVED"),
    ("operator", "/mes/orders/{}", "claim", "MANUFACTURING_STARTED"),
    ("operator", "/mes/orders/{}", "complete", "MANUFACTURING_COMPLETED"),
    ("operator", "/mes/orders/{}", "package", "PACKAGING"),
    ("operator", "/mes/orders/{}", "ship", "SHIPPED"),
)
PEOPLE = ("customer", "partner", "seller", "operator")
PLACERS, CARRIERS = 4, 3
CARRY_ONE_IN, PARTNERS_ONE_IN = 3, 5
ANSWER_TIMEOUT_S = 10.0
"""For one answer. A server that dies with the request in hand may never say so."""
MODEL_SEGMENTS = 32
_FIRST_MODELS, _MODELS_PER_SEED = (1_000, 100_000), 100_000
_AWAY = frozenset({502, 503, 504})


class GivenUp(Exception):
    """There was no time left to ask again."""


@dataclass(slots=True)
class Order:
    """An order as its people know it. ``acknowledged``: the last status that a service said it has."""

    ident: str
    who: str
    acknowledged: str
    carried: bool


@dataclass
class Ledger:
    """What was acknowledged and when, and what was answered: by status code, or by what went wrong instead."""

    orders: dict[str, Order] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    acknowledged_at: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, order: Order, status: str) -> None:
        """A service said that ``order`` has ``status``."""
        with self._lock:
            order.acknowledged = status
            self.orders[order.ident] = order
            self.acknowledged_at.append(time.time())

    def answered(self, what: str, fault: str | None = None) -> None:
        """An answer, or none; ``fault``: what nobody may be told, whoever has died."""
        with self._lock:
            self.answers[what] += 1
            if fault:
                self.faults.append(fault)

    def give_up(self, what: str) -> None:
        """Something that was begun had no time to end."""
        with self._lock:
            self.given_up.append(what)


class Traffic:
    """Threads that place about ``rate`` orders a second and carry one in three on until it is shipped."""

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
        """Begin."""
        for thread in (*self._placers, *self._carriers):
            thread.start()

    def stop(self, within_s: float) -> None:
        """Begin nothing new, and wait until what was begun has ended; after ``within_s`` it is given up."""
        self._closing.set()
        self._give_up_at = time.monotonic() + within_s
        for thread in self._placers:
            thread.join()
        for _ in self._carriers:
            self._to_carry.put(None)
        for thread in self._carriers:
            thread.join()

    def _place(self, number: int) -> None:
        period, made = PLACERS / self._rate, 0
        due = time.monotonic() + number / self._rate
        with httpx.Client(base_url=self._stack.url, timeout=ANSWER_TIMEOUT_S) as http:
            while not self._closing.wait(max(0.0, due - time.monotonic())):
                due = max(due + period, time.monotonic())
                which = number + PLACERS * made
                made += 1
                ring = self._folder / f"ring-{number}.stl"
                model = write_ring(ring, self._first_model + which, MODEL_SEGMENTS).read_bytes()
                try:
                    self._order(http, which, model)
                except GivenUp as what:
                    self.ledger.give_up(str(what))

    def _order(self, http: httpx.Client, which: int, model: bytes) -> None:
        wish: dict[str, Any] = {"process": "casting", "material": "silver-925", "priority": "standard"}
        if which % 4 == 0:
            wish["priority"] = "express"
        key, carried = uuid.uuid4().hex, which % CARRY_ONE_IN == 0
        files = {"model": ("ring.stl", model)}
        if which % PARTNERS_ONE_IN == 0:
            made = self._ask(http, "POST", "/partners/v1/orders", "partner", key, data=wish, files=files)
            order = Order(made["order_id"], "partner", "INITIATED", carried)
            self.ledger.acknowledge(order, made["status"])
        else:
            made = self._ask(http, "POST", "/shop/orders", "customer", key, json=wish)
            order = Order(made["order_id"], "customer", "INITIATED", carried)
            self.ledger.acknowledge(order, "INITIATED")
            shop = f"/shop/orders/{order.ident}"

            def upload() -> httpx.Response:
                return http.put(f"{shop}/model", headers=self._headers["customer"], files=files)

            def submit() -> httpx.Response:
                return http.post(f"{shop}/submit", headers=self._headers["customer"])

            self._step(http, order, shop, "customer", "FILE_UPLOADED", upload)
            self._step(http, order, shop, "customer", "SUBMITTED", submit)
        if carried:
            self._to_carry.put(order)

    def _carry(self) -> None:
        with httpx.Client(base_url=self._stack.url, timeout=ANSWER_TIMEOUT_S) as http:
            while (order := self._to_carry.get()) is not None:
                try:
                    for who, where, step, target in CARRIED_ON:
                        at = where.format(order.ident)

                        def take(path: str = f"{at}/{step}", headers: dict[str, str] = self._headers[who]) -> Any:
                            return http.post(path, headers=headers)

                        self._step(http, order, at, who, target, take)
                except GivenUp as what:
                    self.ledger.give_up(str(what))

    def _step(
        self, http: httpx.Client, order: Order, where: str, who: str, target: str, take: Callable[[], httpx.Response]
    ) -> None:
        """Take a step as often as it needs, until its service says that the order has come so far."""
        while True:
            answer = self._once(take, f"{target} of {order.ident}")
            if answer is not None and answer.status_code == 409:
                answer = self._once(lambda: http.get(where, headers=self._headers[who]), f"a look at {order.ident}")
            if answer is not None and answer.is_success and reached(answer.json()["status"], target):
                self.ledger.acknowledge(order, target)
                return
            self._pause(f"{target} of {order.ident}")

    def _ask(self, http: httpx.Client, method: str, path: str, who: str, key: str, **rest: Any) -> dict[str, Any]:
        headers = {**self._headers[who], "Idempotency-Key": key}
        while True:
            answer = self._once(lambda: http.request(method, path, headers=headers, **rest), path)
            if answer is not None and answer.is_success:
                tree: dict[str, Any] = answer.json()
                return tree
            self._pause(path)

    def _once(self, send: Callable[[], httpx.Response], what: str) -> httpx.Response | None:
        """The answer; None where there is none, or one that says that somebody is away."""
        try:
            answer = send()
        except httpx.TransportError as error:
            self.ledger.answered(type(error).__name__)
            return None
        code = answer.status_code
        if code == 500 and answer.headers.get("content-type") != MEDIA_TYPE:
            # Serve's proxy calls a replica that died with the request in hand so; an error of ours is a problem.
            self.ledger.answered("500 of the proxy")
            return None
        if code == 503 and answer.headers.get("content-type") == MEDIA_TYPE and "retry-after" not in answer.headers:
            self.ledger.answered("503 without Retry-After", f"{what}: 503 without Retry-After {answer.text[:300]}")
            return None
        # A step may come before its service has heard of the one before it: 404 or 409, and none of them a fault.
        expected = answer.is_success or code in _AWAY or code in (404, 409)
        kind = "503 model store full" if code == 503 and "store of models" in answer.text else str(code)
        self.ledger.answered(kind, None if expected else f"{what}: {code} {answer.text[:300]}")
        return None if code in _AWAY else answer

    def _pause(self, what: str) -> None:
        if time.monotonic() > self._give_up_at:
            raise GivenUp(what)
        time.sleep(random.uniform(0.1, 0.4))


def first_model(seed: int) -> int:
    """Return the number of the first model of a run; no other run of the same stack is likely to have these numbers."""
    return _MODELS_PER_SEED * stream(seed, "models").randrange(*_FIRST_MODELS)


def reached(status: str, target: str) -> bool:
    """Whether an order of ``status`` has come as far as ``target``."""
    return status in LIFE and LIFE.index(status) >= LIFE.index(target)
