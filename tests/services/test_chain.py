"""An order from upload to closed, through all services and Kafka, with cancellation, failure and illegal steps."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.ring_models import write_ring
from data.contracts import asyncapi
from serve_app.services import PREFIXES
from tests.support.stack import Stack
from tests.support.waiting import eventually, wait_until

FULL_HISTORY = [
    "INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED", "MANUFACTURING_STARTED",
    "MANUFACTURING_COMPLETED", "PACKAGING", "SHIPPED", "CLOSED",
]  # fmt: skip


def test_from_upload_to_closed(stack: Stack, band: bytes) -> None:
    order_id = stack.order(band, priority="express")
    quoted = stack.reaches(order_id, "PRICE_CALCULATED")
    assert quoted["priority"] == "express"
    assert quoted["quote"]["verdict"] == "manufacturable"
    assert quoted["quote"]["currency"] == "EUR"
    shop_order = eventually(lambda: of_shop(stack, order_id, "PRICE_CALCULATED"), "the shop has the quote")
    assert shop_order["quote"] == quoted["quote"]
    step(stack, f"/crm/orders/{order_id}/approve", "seller", "MANUFACTURING_APPROVED")
    for name, status in (
        ("claim", "MANUFACTURING_STARTED"),
        ("complete", "MANUFACTURING_COMPLETED"),
        ("package", "PACKAGING"),
        ("ship", "SHIPPED"),
    ):
        step(stack, f"/mes/orders/{order_id}/{name}", "operator", status)
    step(stack, f"/crm/orders/{order_id}/close", "seller", "CLOSED")
    closed = stack.reaches(order_id, "CLOSED")
    assert [line["status"] for line in closed["history"]] == FULL_HISTORY
    assert [line["by"] for line in closed["history"]] == [
        *["customer"] * 3, "pricing", "seller", *["operator"] * 4, "seller"
    ]  # fmt: skip
    shop_order = eventually(lambda: of_shop(stack, order_id, "CLOSED"), "the order is closed in the shop")
    assert [line["status"] for line in shop_order["history"]] == FULL_HISTORY


def test_a_cancellation_removes_the_task_from_the_board(stack: Stack, band: bytes) -> None:
    order_id = stack.order(band)
    stack.reaches(order_id, "PRICE_CALCULATED")
    step(stack, f"/crm/orders/{order_id}/approve", "seller", "MANUFACTURING_APPROVED")
    wait_until(lambda: has_task(stack, order_id, "MANUFACTURING_APPROVED"), what="it is on the board")
    eventually(lambda: of_shop(stack, order_id, "MANUFACTURING_APPROVED"), "it is approved in the shop")
    stack.post(f"/shop/orders/{order_id}/cancel", "customer", json={"reason": "changed my mind"}).raise_for_status()
    wait_until(lambda: has_task(stack, order_id, "CANCELLED"), what="it is off the board")
    answer = stack.post(f"/mes/orders/{order_id}/claim", "operator")
    assert (answer.status_code, answer.json()["legal_steps"]) == (409, [])


def test_an_unreadable_model_fails_pricing(stack: Stack) -> None:
    order_id = stack.order(b"not a model at all" * 10)
    assert stack.reaches(order_id, "PRICE_FAILED")["quote"] is None


def test_an_illegal_step_names_the_legal_ones(stack: Stack) -> None:
    created = stack.post("/shop/orders", "customer", json={"material": "brass"}).json()
    answer = stack.post(f"/shop/orders/{created['order_id']}/submit", "customer")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["legal_steps"] == ["cancel", "upload"]


def test_the_mes_gets_its_price_in_one_call(stack: Stack, band: bytes) -> None:
    answer = stack.post(
        "/pricing/quotes",
        "mes",
        data={"material": "gold-14k-yellow", "quantity": "2", "unit": "mm"},
        files={"model": ("band.stl", band)},
        headers={"Prefer": "wait=30"},
    )
    assert answer.status_code == 200, answer.text
    quote = answer.json()
    (option,) = quote["quote"]["options"]
    assert (quote["status"], option["quantity"], option["material"]) == ("done", 2, "gold-14k-yellow")
    again = stack.post(
        "/pricing/quotes",
        "mes",
        json={"material": "gold-14k-yellow", "quantity": 2, "model_sha256": quote_model(band)},
        headers={"Prefer": "wait=30"},
    )
    assert again.json()["quote"] == quote["quote"]
    assert stack.get(f"/pricing/quotes/{quote['quote_id']}", "partner").status_code == 404


def test_a_quote_stream_ends_with_its_outcome_once(stack: Stack, tmp_path: Path) -> None:
    with write_ring(tmp_path / "ring.stl", 1, 240).open("rb") as model:
        created = stack.post("/pricing/quotes", "mes", data={"material": "brass"}, files={"model": model})
    path = f"/pricing/quotes/{created.raise_for_status().json()['quote_id']}/events"
    with stack.http.stream("GET", path, headers=stack.as_user("mes")) as events:
        lines = [line for line in events.iter_lines() if line.startswith(("id:", "data:"))]
    received = [data_of(line) for line in lines if line.startswith("data:")]
    statuses = [quote["status"] for quote in received]
    assert (statuses[-1], statuses.count("done")) == ("done", 1)
    assert set(statuses) <= {"queued", "running", "done"}
    ids = [line.removeprefix("id:").strip() for line in lines if line.startswith("id:")]
    last = {"Last-Event-ID": ids[-1]}
    assert stack.http.get(path, headers={**stack.as_user("mes"), **last}).status_code == 204
    before = {"Last-Event-ID": ids[0]} if len(received) > 1 else {}
    assert "done" in stack.http.get(path, headers={**stack.as_user("mes"), **before}).text


def test_a_status_stream_sends_changes_and_resumes(stack: Stack, band: bytes) -> None:
    order_id = stack.order(band)
    stack.reaches(order_id, "PRICE_CALCULATED")
    headers = {**stack.as_user("customer"), "Last-Event-ID": "2"}
    received = []
    with stack.http.stream("GET", f"/status/orders/{order_id}/events", headers=headers) as events:
        lines = events.iter_lines()
        for line in lines:
            if line.startswith("data:"):
                received.append(line)
            if len(received) == 2:
                break
        stack.post(f"/shop/orders/{order_id}/cancel", "customer", json={"reason": "enough"}).raise_for_status()
        received += [line for line in lines if line.startswith("data:")]
    assert [line["status"] for line in map(data_of, received)] == ["SUBMITTED", "PRICE_CALCULATED", "CANCELLED"]


def test_operations_endpoints_respond(stack: Stack) -> None:
    def get(path: str) -> httpx.Response:
        return stack.http.get(path).raise_for_status()

    assert psutil.pid_exists(get("/healthz").json()["pid"])
    assert get("/readyz").json() == {"ready": True, "dependencies": dict.fromkeys(PREFIXES)}
    assert {f"{prefix}/healthz" for prefix in PREFIXES.values()} <= set(get("/openapi.json").json()["paths"])
    assert get("/asyncapi.json").json()["channels"] == asyncapi.document()["channels"]
    metrics = get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    # Ray exports metrics every few seconds.
    for prefixes in (("ray_serve_", "serve_"), ("ray_facet_", "facet_")):
        wait_until(partial(has_samples, stack, prefixes), what=f"metrics have samples of {' or '.join(prefixes)}")


def has_samples(stack: Stack, prefixes: tuple[str, ...]) -> bool:
    return any(line.startswith(prefixes) for line in stack.http.get("/metrics").text.splitlines())


def step(stack: Stack, path: str, who: str, status: str) -> None:
    """Take a step as soon as its service has applied the previous ones."""

    def take() -> bool:
        answer = stack.post(path, who)
        return bool(answer.is_success and answer.json()["status"] == status)

    wait_until(take, what=f"{who} gets {path} done")


def data_of(line: str) -> dict[str, str]:
    data: dict[str, str] = json.loads(line.removeprefix("data:"))
    return data


def of_shop(stack: Stack, order_id: str, status: str) -> dict[str, Any] | None:
    order: dict[str, Any] = stack.get(f"/shop/orders/{order_id}", "customer").json()
    return order if order["status"] == status else None


def has_task(stack: Stack, order_id: str, status: str) -> bool:
    answer = stack.get(f"/mes/orders/{order_id}", "operator")
    return bool(answer.is_success and answer.json()["status"] == status)


def quote_model(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()
