"""Simulated users: customers, partners, sellers, operators, watchers of an order, and the MES."""

from __future__ import annotations

import itertools
import json
import random
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any, ClassVar

from locust import HttpUser, between, task
from requests.exceptions import ConnectionError, Timeout

from benchmarks.load.models import ring
from benchmarks.load.target import Target
from benchmarks.load_report import ORDER, STATUS_CHANGED, STREAM, SUBMITTED_TO_QUOTED

PRICE_TIMEOUT_S, POLL_INTERVAL_S = 60.0, 0.25
MATERIALS = ("silver-925", "gold-14k-yellow", "gold-18k-yellow", "platinum-950", "brass")
_UNPRICED = frozenset({"INITIATED", "FILE_UPLOADED", "SUBMITTED"})
_SEED, _COUNT = secrets.randbits(48), itertools.count()
_orders: deque[str] = deque(maxlen=100)
"""The newest orders of the customers, who share one account: for the watchers."""


class User(HttpUser):
    """A user with an account. ``account``: its name among the demo accounts."""

    abstract = True
    wait_time = between(1, 3)
    target: ClassVar[Target]
    account: ClassVar[str]

    def on_start(self) -> None:
        """Sign in."""
        self.sign_in()

    def sign_in(self) -> None:
        """Get a token with the account's password or secret."""
        grant = "client_credentials" if self.account == "mes_service" else "password"
        form = {"grant_type": grant, **self.target.demo[self.account]}
        response = self.client.post("/auth/token", name="POST /auth/token", data=form)
        if is_success(response):
            self.client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def call(self, method: str, path: str, name: str, expected: Collection[int] = (), **options: Any) -> Any:
        """Send a request and return the response's JSON, or None; ``expected``: error statuses that are no failure."""
        with self.client.request(method, path, name=f"{method} {name}", catch_response=True, **options) as response:
            if is_success(response):
                return response.json()
            if response.status_code in expected:
                response.success()
            else:
                response.failure(f"{response.status_code} {(response.text or str(response.error))[:200]}")
        if response.status_code == 401:
            self.sign_in()
        return None

    def await_price(self, read: Callable[[], Any]) -> None:
        """Poll an order until its price is known, and record the latency from its submission."""
        deadline = time.monotonic() + PRICE_TIMEOUT_S
        while time.monotonic() < deadline:
            order = read()
            if order and order["status"] not in _UNPRICED:
                at = {line["status"]: datetime.fromisoformat(line["at"]) for line in order["history"]}
                priced = next(when for status, when in at.items() if status not in _UNPRICED)
                self.record(
                    ORDER, f"{SUBMITTED_TO_QUOTED}, {order['priority']}", (priced - at["SUBMITTED"]).total_seconds()
                )
                return
            time.sleep(POLL_INTERVAL_S)
        self.record(
            ORDER, f"{SUBMITTED_TO_QUOTED}, never", PRICE_TIMEOUT_S, TimeoutError(f"no price in {PRICE_TIMEOUT_S:g} s")
        )

    def record(self, kind: str, name: str, seconds: float, error: Exception | None = None) -> None:
        """Record a measurement that is not a request in locust's statistics."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=1000 * seconds,
            response_length=0,
            exception=error,
            context={},
        )


class Customer(User):
    """Browses, orders, waits for the price."""

    weight = 6
    account = "customer"

    @task(4)
    def order(self) -> None:
        """Place an order and wait for its price."""
        self.browse()
        item = {
            "process": "casting", "material": random.choice(MATERIALS), "quantity": random.randint(1, 5),
            "priority": random.choices(["standard", "express"], [3, 1])[0],
        }  # fmt: skip
        created = self.call("POST", "/shop/orders", "/shop/orders", json=item, headers=new_idempotency_key())
        if created is None:
            return
        order_id = created["order_id"]
        model = {"model": ("ring.stl", new_model())}
        uploaded = self.call("PUT", f"/shop/orders/{order_id}/model", "/shop/orders/{id}/model", files=model)
        if uploaded is None or self.call("POST", f"/shop/orders/{order_id}/submit", "/shop/orders/{id}/submit") is None:
            return
        _orders.append(order_id)
        # The status service is eventually consistent with the shop: 404 at first.
        self.await_price(lambda: self.call("GET", f"/status/orders/{order_id}", "/status/orders/{id}", expected=[404]))

    @task(3)
    def browse(self) -> None:
        """Read the catalogue."""
        query = random.choice(["", "?category=rings", "?in_stock=true", "?max_price=500.00"])
        self.call("GET", f"/shop/products{query}", "/shop/products")

    @task(2)
    def list_orders(self) -> None:
        """Read two pages of own orders."""
        page = self.call("GET", "/shop/orders?limit=20", "/shop/orders")
        if page and page["next"]:
            self.call("GET", f"/shop/orders?limit=20&after={page['next']}", "/shop/orders (next page)")

    @task(1)
    def renew_token(self) -> None:
        """Sign in again."""
        self.sign_in()


class Partner(User):
    """A jeweller's software."""

    weight = 3
    account = "partner"

    def sign_in(self) -> None:
        """Set the API key, which is sent with every request."""
        self.client.headers["X-API-Key"] = self.target.demo["partner_api_key"]

    @task(3)
    def order(self) -> None:
        """Place an order in one step and wait for its price."""
        form = {"process": "casting", "material": random.choice(MATERIALS), "quantity": str(random.randint(1, 20))}
        path, model = "/partners/v1/orders", {"model": ("ring.stl", new_model())}
        created = self.call("POST", path, path, data=form, files=model, headers=new_idempotency_key())
        if created is not None:
            self.await_price(
                lambda: self.call("GET", f"{path}/{created['order_id']}", f"{path}/{{id}}", expected=[404])
            )

    @task(1)
    def list_orders(self) -> None:
        """Read own orders."""
        self.call("GET", "/partners/v1/orders?limit=20", "/partners/v1/orders")


class Seller(User):
    """Approves priced orders and closes shipped ones."""

    weight = 2
    account = "seller"

    @task(3)
    def approve(self) -> None:
        """Approve the newest orders; another seller may be faster."""
        for order in self._board("PRICE_CALCULATED")[:5]:
            self._step(order, "approve")

    @task(1)
    def close(self) -> None:
        """Close shipped orders."""
        for order in self._board("SHIPPED")[:5]:
            self._step(order, "close")

    def _board(self, status: str) -> list[dict[str, Any]]:
        page = self.call("GET", f"/crm/orders?status={status}&limit=20", "/crm/orders")
        return page["items"] if page else []

    def _step(self, order: dict[str, Any], step: str) -> None:
        self.call("POST", f"/crm/orders/{order['order_id']}/{step}", f"/crm/orders/{{id}}/{step}", expected=[409])


class Operator(User):
    """Competes for the newest order and produces a claimed one."""

    weight = 4
    account = "operator"

    @task
    def make(self) -> None:
        """Claim the newest order and produce it; 409 is expected if another operator was faster."""
        page = self.call("GET", "/mes/orders?status=MANUFACTURING_APPROVED&limit=10", "/mes/orders")
        for order in page["items"][:3] if page else []:
            path = f"/mes/orders/{order['order_id']}"
            if self.call("POST", f"{path}/claim", "/mes/orders/{id}/claim", expected=[409]) is None:
                continue
            for step in ("complete", "package", "ship"):
                time.sleep(random.uniform(0.1, 0.5))
                if self.call("POST", f"{path}/{step}", f"/mes/orders/{{id}}/{step}") is None:
                    return
            return


class Watcher(User):
    """A browser that shows an order's status; it resumes the stream after a disconnect."""

    weight = 3
    account = "customer"

    @task
    def watch(self) -> None:
        """Read an order's events for some seconds, disconnect, and resume."""
        if not _orders:
            return
        order_id = random.choice(list(_orders)[-10:])
        last_event = self._read_stream(order_id, 0, random.uniform(2, 5))
        self._read_stream(order_id, last_event, random.uniform(1, 2))

    def _read_stream(self, order_id: str, last_event: int, seconds: float) -> int:
        """Read events for ``seconds`` and return the number of the last one."""
        started_at, deadline = time.time(), time.monotonic() + seconds
        headers = {"Last-Event-ID": str(last_event)} if last_event else {}
        with self.client.get(
            f"/status/orders/{order_id}/events", name="GET /status/orders/{id}/events", headers=headers, stream=True,
            timeout=(5, 1), catch_response=True,
        ) as response:  # fmt: skip
            if not is_success(response):
                if response.status_code == 404:
                    response.success()
                return last_event
            response.success()
            for number, line in _events(response, deadline):
                if number != last_event + 1:
                    response.failure(f"event {number} followed event {last_event}")
                last_event = number
                at = datetime.fromisoformat(line["at"]).timestamp()
                if at > started_at:
                    self.record(STREAM, STATUS_CHANGED, time.time() - at)
        return last_event


class Mes(User):
    """The MES: requests prices of models, and waits for them in the same call."""

    weight = 2
    account = "mes_service"

    @task
    def quote(self) -> None:
        """Request a quote and wait for it."""
        form = {"material": random.choice(MATERIALS), "quantity": "1", "unit": "mm"}
        self.call(
            "POST", "/pricing/quotes", "/pricing/quotes (wait)", headers={"Prefer": "wait=20"}, data=form,
            files={"model": ("ring.stl", new_model())},
        )  # fmt: skip


def _events(response: Any, deadline: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the events of a stream with their numbers, until the deadline or a second without data."""
    number = 0
    try:
        for line in response.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                yield number, json.loads(line[6:])
            if time.monotonic() > deadline:
                return
    except (ConnectionError, Timeout):  # a read time-out of requests
        return


def is_success(response: Any) -> bool:
    """Return whether the status is 2xx. Without a response locust's ``ok`` raises and the status is 0."""
    return bool(200 <= response.status_code < 300)


def new_model() -> bytes:
    """Return a new model."""
    return ring(_SEED + next(_COUNT))


def new_idempotency_key() -> dict[str, str]:
    """Return the header that identifies a repeated request."""
    return {"Idempotency-Key": uuid.uuid4().hex}
