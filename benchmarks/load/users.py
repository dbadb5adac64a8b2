"""Who uses Facet, and how: customers, partners, sellers, operators, those who watch an order, and the MES."""

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
from benchmarks.load_report import STATUS_CHANGED, ORDER, SUBMITTED_TO_QUOTED, STREAM

PRICE_TIMEOUT_S, POLL_INTERVAL_S = 60.0, 0.25
MATERIALS = ("silver-925", "gold-14k-yellow", "gold-18k-yellow", "platinum-950", "brass")
_UNPRICED = frozenset({"INITIATED", "FILE_UPLOADED", "SUBMITTED"})
_SEED, _COUNT = secrets.randbits(48), itertools.count()
_orders: deque[str] = deque(maxlen=100)
"""The newest orders of the customers, who are one account: for whoever watches."""


class User(HttpUser):
    """Somebody with an account. ``account``: its name among the demo accounts."""

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
        answer = self.client.post("/auth/token", name="POST /auth/token", data=form)
        if is_success(answer):
            self.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, method: str, path: str, name: str, fine: Collection[int] = (), **rest: Any) -> Any:
        """The answer's JSON, or None; ``fine``: statuses that are no failure beside those of success."""
        with self.client.request(method, path, name=f"{method} {name}", catch_response=True, **rest) as answer:
            if is_success(answer):
                return answer.json()
            if answer.status_code in fine:
                answer.success()
            else:
                answer.failure(f"{answer.status_code} {(answer.text or str(answer.error))[:200]}")
        if answer.status_code == 401:
            self.sign_in()
        return None

    def await_price(self, read: Callable[[], Any]) -> None:
        """Look at an order until its price is known, and tell how long it took from the submission."""
        deadline = time.monotonic() + PRICE_TIMEOUT_S
        while time.monotonic() < deadline:
            order = read()
            if order and order["status"] not in _UNPRICED:
                at = {line["status"]: datetime.fromisoformat(line["at"]) for line in order["history"]}
                priced = next(when for status, when in at.items() if status not in _UNPRICED)
                self.tell(ORDER, f"{SUBMITTED_TO_QUOTED}, {order['priority']}", (priced - at["SUBMITTED"]).total_seconds())
                return
            time.sleep(POLL_INTERVAL_S)
        self.tell(ORDER, f"{SUBMITTED_TO_QUOTED}, never", PRICE_TIMEOUT_S, TimeoutError(f"no price in {PRICE_TIMEOUT_S:g} s"))

    def on_progress(self, kind: str, name: str, seconds: float, error: Exception | None = None) -> None:
        """Count something that is not a request, as locust counts requests."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=1000 * seconds,
            response_length=0,
            exception=error,
            context={},
        )


class Customer(User):
    """Looks around, orders, waits for the price."""

    weight = 6
    account = "customer"

    @task(4)
    def order(self) -> None:
        """From the catalogue to a price."""
        self.browse()
        wish = {
            "process": "casting", "material": random.choice(MATERIALS), "quantity": random.randint(1, 5),
            "priority": random.choices(["standard", "express"], [3, 1])[0],
        }  # fmt: skip
        made = self.ask("POST", "/shop/orders", "/shop/orders", json=wish, headers=new_idempotency_key())
        if made is None:
            return
        ident = made["order_id"]
        model = {"model": ("ring.stl", new_model())}
        uploaded = self.ask("PUT", f"/shop/orders/{ident}/model", "/shop/orders/{id}/model", files=model)
        if uploaded is None or self.ask("POST", f"/shop/orders/{ident}/submit", "/shop/orders/{id}/submit") is None:
            return
        _orders.append(ident)
        # The status service hears of an order a moment after the shop: until then it knows none.
        self.await_price(lambda: self.ask("GET", f"/status/orders/{ident}", "/status/orders/{id}", fine=[404]))

    @task(3)
    def browse(self) -> None:
        """The catalogue."""
        query = random.choice(["", "?category=rings", "?in_stock=true", "?max_price=500.00"])
        self.ask("GET", f"/shop/products{query}", "/shop/products")

    @task(2)
    def look_back(self) -> None:
        """One's own orders, two pages of them."""
        page = self.ask("GET", "/shop/orders?limit=20", "/shop/orders")
        if page and page["next"]:
            self.ask("GET", f"/shop/orders?limit=20&after={page['next']}", "/shop/orders (next page)")

    @task(1)
    def come_again(self) -> None:
        """Another day: sign in anew."""
        self.sign_in()


class Partner(User):
    """A jeweller's program."""

    weight = 3
    account = "partner"

    def sign_in(self) -> None:
        """Nothing to do: the key comes with every request."""
        self.client.headers["X-API-Key"] = self.target.demo["partner_api_key"]

    @task(3)
    def order(self) -> None:
        """In one step; then look until there is a price."""
        form = {"process": "casting", "material": random.choice(MATERIALS), "quantity": str(random.randint(1, 20))}
        path, model = "/partners/v1/orders", {"model": ("ring.stl", new_model())}
        made = self.ask("POST", path, path, data=form, files=model, headers=new_idempotency_key())
        if made is not None:
            self.await_price(lambda: self.ask("GET", f"{path}/{made['order_id']}", f"{path}/{{id}}", fine=[404]))

    @task(1)
    def look_back(self) -> None:
        """One's own orders."""
        self.ask("GET", "/partners/v1/orders?limit=20", "/partners/v1/orders")


class Seller(User):
    """Approves what is priced and closes what is shipped."""

    weight = 2
    account = "seller"

    @task(3)
    def approve(self) -> None:
        """The newest of the board; another seller may be faster."""
        for order in self._board("PRICE_CALCULATED")[:5]:
            self._step(order, "approve")

    @task(1)
    def close(self) -> None:
        """What has arrived."""
        for order in self._board("SHIPPED")[:5]:
            self._step(order, "close")

    def _board(self, status: str) -> list[dict[str, Any]]:
        page = self.ask("GET", f"/crm/orders?status={status}&limit=20", "/crm/orders")
        return page["items"] if page else []

    def _step(self, order: dict[str, Any], step: str) -> None:
        self.ask("POST", f"/crm/orders/{order['order_id']}/{step}", f"/crm/orders/{{id}}/{step}", fine=[409])


class Operator(User):
    """Races for the newest order, and makes the one that is won."""

    weight = 4
    account = "operator"

    @task
    def make(self) -> None:
        """Claim the newest; whoever comes second gets a 409, and that is how it shall be."""
        page = self.ask("GET", "/mes/orders?status=MANUFACTURING_APPROVED&limit=10", "/mes/orders")
        for order in page["items"][:3] if page else []:
            path = f"/mes/orders/{order['order_id']}"
            if self.ask("POST", f"{path}/claim", "/mes/orders/{id}/claim", fine=[409]) is None:
                continue
            for step in ("complete", "package", "ship"):
                time.sleep(random.uniform(0.1, 0.5))
                if self.ask("POST", f"{path}/{step}", f"/mes/orders/{{id}}/{step}") is None:
                    return
            return


class Watcher(User):
    """A browser that shows where an order is; its connection breaks, and it goes on where it was."""

    weight = 3
    account = "customer"

    @task
    def watch(self) -> None:
        """Some seconds of an order's events, and some more after a break."""
        if not _orders:
            return
        ident = random.choice(list(_orders)[-10:])
        seen = self._listen(ident, 0, random.uniform(2, 5))
        self._listen(ident, seen, random.uniform(1, 2))

    def _listen(self, ident: str, seen: int, seconds: float) -> int:
        """Gives the number of the last event."""
        began, deadline = time.time(), time.monotonic() + seconds
        headers = {"Last-Event-ID": str(seen)} if seen else {}
        with self.client.get(
            f"/status/orders/{ident}/events", name="GET /status/orders/{id}/events", headers=headers, stream=True,
            timeout=(5, 1), catch_response=True,
        ) as answer:  # fmt: skip
            if not is_success(answer):
                if answer.status_code == 404:
                    answer.success()
                return seen
            answer.success()
            for number, line in _events(answer, deadline):
                if number != seen + 1:
                    answer.failure(f"event {number} came after event {seen}")
                seen = number
                at = datetime.fromisoformat(line["at"]).timestamp()
                if at > began:
                    self.tell(STREAM, STATUS_CHANGED, time.time() - at)
        return seen


class Mes(User):
    """The MES: asks for prices of models, and waits for the answer in the same call."""

    weight = 2
    account = "mes_service"

    @task
    def quote(self) -> None:
        """A price within the call, or a promise of one."""
        form = {"material": random.choice(MATERIALS), "quantity": "1", "unit": "mm"}
        self.ask(
            "POST", "/pricing/quotes", "/pricing/quotes (wait)", headers={"Prefer": "wait=20"}, data=form,
            files={"model": ("ring.stl", new_model())},
        )  # fmt: skip


def _events(answer: Any, deadline: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """Events of a stream with their numbers; it ends with the time, or after a second of silence."""
    number = 0
    try:
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                yield number, json.loads(line[6:])
            if time.monotonic() > deadline:
                return
    except (ConnectionError, Timeout):  # how requests tells that nothing came within the time
        return


def is_success(answer: Any) -> bool:
    """Whether it is an answer of success. Where there was none, locust's ``ok`` raises and its status is 0."""
    return bool(200 <= answer.status_code < 300)


def new_model() -> bytes:
    """A model that nobody has seen."""
    return ring(_SEED + next(_COUNT))


def new_idempotency_key() -> dict[str, str]:
    """The header by which a request that is sent again is known."""
    return {"Idempotency-Key": uuid.uuid4().hex}
