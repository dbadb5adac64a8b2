"""Invalid requests are reported and change nothing: bodies, ids, page tokens, keys, versions, races.

An upload that stalls, and a model that outgrows its limit while it is received, are tested in
`tests/unit/serve_app/kit/test_upload.py`, where idle time-out and limit are small.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from cluster.local import demo_accounts
from tests.support.stack import Stack
from tests.support.waiting import eventually, wait_until

ORDER_REQUEST = {"material": "brass"}
BOUNDARY = "cut-here"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
MODEL_PART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"; filename="a.stl"\r\n\r\nsolid ring\r\n'.encode()
)
END = f"--{BOUNDARY}--\r\n".encode()
LISTS = {
    "/shop/orders": "customer", "/status/orders": "customer", "/pricing/quotes": "mes", "/crm/orders": "seller",
    "/mes/orders": "operator", "/partners/v1/orders": "partner", "/partners/v1/keys": "partner",
    "/shop/products": "customer",
}  # fmt: skip
RACES, POSTS = 50, 1000


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the status and code of a problem; return its body."""
    assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == (f"urn:facet:problem:{code}", status)
    return body


@pytest.fixture(scope="module", autouse=True)
def stays_healthy(stack: Stack) -> Iterator[None]:
    """Check that after these tests every service is healthy, and no upload has left a file."""
    yield
    assert stack.http.get("/readyz").json()["ready"]
    models = stack.folder / ".facet" / "stack" / "data" / "models"
    assert models.is_dir()
    wait_until(lambda: not list(models.glob("incoming-*")), what="unsaved uploads are deleted")


@pytest.fixture
def initiated(stack: Stack) -> str:
    """Return an order that has no model yet."""
    return str(stack.post("/shop/orders", "customer", json=ORDER_REQUEST).raise_for_status().json()["order_id"])


def put_on_board(stack: Stack, band: bytes) -> str:
    """Return a new approved order that has a task in the MES."""
    order_id = stack.order(band)
    stack.reaches(order_id, "PRICE_CALCULATED")
    approve = f"/crm/orders/{order_id}/approve"
    wait_until(lambda: stack.post(approve, "seller").is_success, what="the seller can approve it")
    wait_until(lambda: stack.get(f"/mes/orders/{order_id}", "operator").is_success, what="it is on the board")
    return order_id


@pytest.fixture(scope="module")
def on_board(stack: Stack, band: bytes) -> str:
    """Return an order that has a task in the MES."""
    return put_on_board(stack, band)


@pytest.fixture(scope="module")
def contested(stack: Stack, band: bytes) -> str:
    """Return an order for races, which the other tests do not use."""
    return put_on_board(stack, band)


@pytest.fixture(scope="module")
def untouched(stack: Stack, band: bytes) -> str:
    """Return an order that no other test changes, so its versions stay the same in every service."""
    return put_on_board(stack, band)


def chunked_json() -> Iterator[bytes]:
    """Yield more than a mebibyte of JSON, sent without a content length."""
    yield b'{"material": "'
    for _ in range(20):
        yield b"x" * (1 << 16)


@pytest.mark.parametrize("body", [b" " * ((1 << 20) + 1), chunked_json], ids=["with content length", "chunked"])
@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/shop/orders", "customer"),
        ("/partners/v1/webhooks", "partner"),
        (f"/crm/orders/{UUID(int=7)}/reject", "seller"),
    ],
)
def test_too_large_json_is_refused(
    stack: Stack, body: bytes | Callable[[], Iterator[bytes]], path: str, who: str
) -> None:
    content = body() if callable(body) else body
    answer = stack.post(path, who, content=content, headers={"Content-Type": "application/json"})
    refused(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    ("path", "method", "who"),
    [("/pricing/quotes", "POST", "mes"), ("/partners/v1/orders", "POST", "partner"), ("model", "PUT", "customer")],
)
def test_a_too_large_model_is_refused_before_it_is_received(
    stack: Stack, initiated: str, path: str, method: str, who: str
) -> None:
    path = f"/shop/orders/{initiated}/model" if path == "model" else path
    head = {**stack.as_user(who), **MULTIPART, "Content-Length": str(600 << 20), "Host": "localhost"}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    address = httpx.URL(stack.url)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode() + MODEL_PART)
        answer = connection.makefile("rb").readline()
    assert b" 413 " in answer


def test_an_upload_cut_off_in_the_middle_changes_nothing(stack: Stack, initiated: str) -> None:
    head = {**stack.as_user("customer"), **MULTIPART, "Content-Length": str(1 << 20), "Host": "localhost"}
    lines = [
        f"PUT /shop/orders/{initiated}/model HTTP/1.1",
        *(f"{name}: {value}" for name, value in head.items()),
        "",
        "",
    ]
    address = httpx.URL(stack.url)
    for _ in range(5):
        with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
            connection.sendall("\r\n".join(lines).encode() + MODEL_PART)
    assert stack.get(f"/shop/orders/{initiated}", "customer").json()["status"] == "INITIATED"


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (MODEL_PART, MULTIPART, 400, "malformed-upload"),
        (MODEL_PART + END[:6], MULTIPART, 400, "malformed-upload"),
        (MODEL_PART + MODEL_PART + END, MULTIPART, 400, "malformed-upload"),
        (END, MULTIPART, 400, "malformed-upload"),
        (b"", MULTIPART, 400, "malformed-upload"),
        (MODEL_PART.replace(b'name="model"', b'name="other"') + END, MULTIPART, 400, "malformed-upload"),
        (MODEL_PART.replace(b"solid ring", b"") + END, MULTIPART, 400, "malformed-upload"),
        (MODEL_PART + END, {"Content-Type": "multipart/form-data"}, 415, "not-multipart"),
        (MODEL_PART + END, {"Content-Type": "model/stl"}, 415, "not-multipart"),
        (MODEL_PART + END, {}, 415, "not-multipart"),
    ],
)
def test_malformed_uploads_are_refused(
    stack: Stack, initiated: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    places = ((f"/shop/orders/{initiated}/model", "customer", stack.put), ("/pricing/quotes", "mes", stack.post),
              ("/partners/v1/orders", "partner", stack.post))  # fmt: skip
    for path, who, send in places:
        refused(send(path, who, content=content, headers=headers), status, code)
    assert stack.get(f"/shop/orders/{initiated}", "customer").json()["status"] == "INITIATED"


@pytest.mark.parametrize(
    "request_body",
    [
        {}, {"material": None}, {"material": 7}, {"material": "brass", "quantity": 0},
        {"material": "brass", "quantity": -1}, {"material": "brass", "quantity": 10**9},
        {"material": "brass", "quantity": 1.5}, {"material": "brass", "quantity": "many"},
        {"material": "brass", "priority": "now"}, {"material": "x" * 101}, {"material": "brass", "product_id": "x"}, [],
    ],
    ids=str,
)  # fmt: skip
def test_invalid_order_requests_are_refused(stack: Stack, request_body: Any) -> None:
    assert refused(stack.post("/shop/orders", "customer", json=request_body), 422, "invalid")["errors"]


@pytest.mark.parametrize(
    "request_body",
    [
        {"material": "unobtainium"}, {"material": "brass", "process": "magic"}, {"material": "brass", "finish": "none"},
        {"material": "pa12"}, {"material": "\0"}, {"material": ""},
    ],
    ids=str,
)  # fmt: skip
def test_order_requests_that_are_not_offered_are_refused(stack: Stack, request_body: dict[str, str]) -> None:
    refused(stack.post("/shop/orders", "customer", json=request_body), 422, "not-offered")
    file = {"model": ("a.stl", b"solid")}
    refused(stack.post("/partners/v1/orders", "partner", data=request_body, files=file), 422, "not-offered")
    refused(stack.post("/pricing/quotes", "mes", data=request_body, files=file), 422, "not-offered")


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/shop/orders/1", "customer"), ("/shop/orders/null", "customer"), ("/status/orders/x", "customer"),
        ("/status/orders/x/events", "customer"), ("/pricing/quotes/x", "mes"), ("/crm/orders/x", "seller"),
        ("/mes/orders/x", "operator"), ("/partners/v1/orders/x", "partner"), ("/shop/products/x", "customer"),
        ("/crm/orders?status=LOST", "seller"), ("/mes/orders?status=", "operator"),
        ("/shop/products?max_price=-1", "customer"),
        ("/shop/products?max_price=NaN", "customer"), ("/shop/products?in_stock=perhaps", "customer"),
        ("/shop/orders?limit=0", "customer"), ("/shop/orders?limit=201", "customer"),
        ("/shop/orders?limit=x", "customer"),
    ],
)  # fmt: skip
def test_invalid_ids_and_filters_are_refused(stack: Stack, path: str, who: str) -> None:
    refused(stack.get(path, who), 422, "invalid")


@pytest.mark.parametrize("path", ["/nowhere", "/shop/nowhere", "/partners/v2/orders", "/shop/orders/%2e%2e/%2e%2e/etc"])
def test_unknown_paths_are_not_found(stack: Stack, path: str) -> None:
    refused(stack.get(path, "customer"), 404, "not-found")


def test_unsupported_methods_are_refused(stack: Stack) -> None:
    answer = stack.http.request("PATCH", "/shop/orders", headers=stack.as_user("customer"))
    refused(answer, 405, "method-not-allowed")
    assert "allow" in answer.headers


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_texts_that_the_database_cannot_store_are_refused(
    stack: Stack, initiated: str, on_board: str, text: str
) -> None:
    for path, who in ((f"/shop/orders/{initiated}/cancel", "customer"), (f"/mes/orders/{on_board}/rework", "operator")):
        refused(stack.post(path, who, json={"reason": text}), 422, "invalid")
    refused(stack.get("/shop/products", "customer", params={"category": text}), 422, "not-storable")
    note = stack.put(f"/crm/orders/{on_board}/note", "seller", json={"note": text})
    refused(note, 422, "invalid")
    sign_in = {"grant_type": "password", "username": text, "password": text}
    assert stack.http.post("/auth/token", data=sign_in).status_code in (401, 422)
    assert stack.get(f"/shop/orders/{initiated}", "customer").json()["status"] == "INITIATED"


@pytest.mark.parametrize("path", LISTS)
def test_page_tokens_of_other_lists_are_refused(stack: Stack, path: str) -> None:
    who = LISTS[path]
    for _ in range(2):
        stack.post("/partners/v1/keys", "partner").raise_for_status()
    keys = stack.get("/partners/v1/keys", "partner", params={"limit": 1}).json()["next"]
    products = stack.get("/shop/products", "customer", params={"limit": 1}).json()["next"]
    strangers = {"/partners/v1/keys": products}.get(path, keys)
    for token in ("x", "AAAA", "é", "\0", strangers, strangers[:-4], "=" * 40):
        refused(stack.get(path, who, params={"after": token}), 400, "bad-page-token")
    refused(stack.get(path, who, params={"after": "x" * 201}), 422, "invalid")


def test_a_page_token_is_valid_for_its_filter_only(stack: Stack) -> None:
    token = stack.get("/shop/products", "customer", params={"limit": 1}).json()["next"]
    assert stack.get("/shop/products", "customer", params={"after": token}).is_success
    refused(stack.get("/shop/products", "customer", params={"after": token, "in_stock": True}), 400, "bad-page-token")


def test_an_invalid_traceparent_changes_nothing(stack: Stack) -> None:
    for trace in (b"\xff\xfe", b"x" * 5000, b"00-0-0-0"):
        headers = [(name.encode(), value.encode()) for name, value in stack.as_user("customer").items()]
        answer = stack.http.post("/shop/orders", json=ORDER_REQUEST, headers=[*headers, (b"traceparent", trace)])
        stack.reaches(answer.raise_for_status().json()["order_id"], "INITIATED")


def test_an_idempotency_key_with_another_body_is_refused(stack: Stack) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = stack.post("/shop/orders", "customer", json=ORDER_REQUEST, headers=key)
    again = stack.post("/shop/orders", "customer", json=ORDER_REQUEST, headers=key)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        201,
        first.json(),
        first.headers["location"],
    )
    assert again.headers["idempotent-replayed"] == "true"
    refused(
        stack.post("/shop/orders", "customer", json={**ORDER_REQUEST, "quantity": 2}, headers=key), 422, "key-reused"
    )
    other = stack.post("/shop/orders", "partner", json=ORDER_REQUEST, headers=key)
    assert other.json()["order_id"] != first.json()["order_id"]


def test_an_idempotency_key_of_an_upload_with_another_body_is_refused(stack: Stack, band: bytes) -> None:
    for path, name in (("/partners/v1/orders", "order_id"), ("/pricing/quotes", "quote_id")):
        key = {"Idempotency-Key": str(uuid4())}
        first, again = (
            stack.post(path, "partner", data=ORDER_REQUEST, files={"model": ("a.stl", band)}, headers=key)
            for _ in range(2)
        )
        assert (first.is_success, again.json()[name]) == (True, first.json()[name])
        for data, model in ((ORDER_REQUEST, b"another model"), ({"material": "bronze"}, band)):
            answer = stack.post(path, "partner", data=data, files={"model": ("a.stl", model)}, headers=key)
            refused(answer, 422, "key-reused")


def test_a_finished_stream_ends_with_204(stack: Stack, initiated: str) -> None:
    stack.post(f"/shop/orders/{initiated}/cancel", "customer", json={"reason": "a test"}).raise_for_status()
    stack.reaches(initiated, "CANCELLED")
    for last, status in (("1", 200), ("2", 204), ("99", 204)):
        headers = {**stack.as_user("customer"), "Last-Event-ID": last}
        answer = stack.http.get(f"/status/orders/{initiated}/events", headers=headers, timeout=10)
        assert (answer.status_code, answer.text.count("data:")) == (status, 1 if status == 200 else 0)


def all_orders(stack: Stack, who: str) -> list[str]:
    """Return the ids of all orders that ``who`` may list."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = stack.get("/shop/orders", who, params={"limit": 200, **after}).json()
        found += [order["order_id"] for order in page["items"]]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


async def test_a_thousand_posts_with_one_key_create_one_order(stack: Stack) -> None:
    before = all_orders(stack, "admin")
    headers = {**stack.as_user("admin"), "Idempotency-Key": str(uuid4())}

    async def post(times: int) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=times)
        async with httpx.AsyncClient(base_url=stack.url, headers=headers, limits=limits, timeout=60) as client:
            return await asyncio.gather(*(client.post("/shop/orders", json=ORDER_REQUEST) for _ in range(times)))

    # Ten clients: one with a thousand connections spends most of its time searching them.
    answers = [answer for each in await asyncio.gather(*(post(POSTS // 10) for _ in range(10))) for answer in each]
    assert len(answers) == POSTS
    # Requests over the capacity get 503 with Retry-After; no request creates another order.
    assert {answer.status_code for answer in answers} <= {201, 503}
    created = {answer.json()["order_id"] for answer in answers if answer.status_code == 201}
    assert len(created) == 1
    assert set(all_orders(stack, "admin")) - set(before) == created


def history_until(stack: Stack, order_id: str, status: str, times: int) -> list[dict[str, Any]]:
    """Return the history from the status service once the order has entered ``status`` so many ``times``."""

    def poll() -> list[dict[str, Any]] | None:
        history: list[dict[str, Any]] = stack.get(f"/status/orders/{order_id}", "customer").json()["history"]
        return history if [line["status"] for line in history].count(status) == times else None

    return eventually(poll, f"order {order_id} enters {status} {times} times")


def test_of_two_operators_exactly_one_gets_the_order(stack: Stack, contested: str) -> None:
    passwords = demo_accounts.credentials(stack.folder / ".facet" / "stack" / "data").passwords
    stack.demo["operator-2"] = {"username": "operator-2", "password": passwords["operator-2"]}
    rivals = ("operator", "operator-2")
    winners: list[str] = []
    for who in rivals:
        stack.as_user(who)
    with ThreadPoolExecutor(len(rivals)) as pool:
        for _ in range(RACES):
            start = Barrier(len(rivals))

            def claim(who: str, start: Barrier = start) -> httpx.Response:
                start.wait()
                return stack.post(f"/mes/orders/{contested}/claim", who)

            answers = dict(zip(rivals, pool.map(claim, rivals), strict=True))
            assert sorted(answer.status_code for answer in answers.values()) == [200, 409]
            winner = next(who for who, answer in answers.items() if answer.status_code == 200)
            assert answers[winner].json()["claimed_by"] == winner
            loser = next(who for who in rivals if who != winner)
            refused(answers[loser], 409, "illegal-step")
            refused(stack.post(f"/mes/orders/{contested}/complete", loser), 409, "claimed")
            again = stack.post(f"/mes/orders/{contested}/rework", winner, json={"reason": "the race goes on"})
            assert (again.json()["status"], again.json()["claimed_by"]) == ("REWORK", None)
            winners.append(winner)
    # The status service has exactly one claim of each race, by its winner: a refused claim publishes no event.
    steps = [[line["status"], line["by"]] for line in history_until(stack, contested, "REWORK", RACES)]
    assert steps[-2 * RACES :] == [[status, who] for who in winners for status in ("MANUFACTURING_STARTED", "REWORK")]
    assert [status for status, _ in steps].count("MANUFACTURING_STARTED") == RACES


@pytest.mark.parametrize("stale", ['"0"', '"99"', '"x"', "3", 'W/"99"'])
def test_a_stale_version_changes_nothing(stack: Stack, initiated: str, untouched: str, stale: str) -> None:
    old = {"If-Match": stale}
    reason = {"reason": "a test"}
    product = stack.get("/shop/products", "admin").json()["items"][0]
    hook = stack.post("/partners/v1/webhooks", "partner", json={"url": "http://127.0.0.1:9/"}).json()["webhook_id"]
    tries: list[tuple[Callable[..., httpx.Response], str, str, str, dict[str, Any]]] = [
        (stack.post, f"/shop/orders/{initiated}", "/cancel", "customer", {"json": reason}),
        (stack.put, f"/shop/orders/{initiated}", "/model", "customer", {"files": {"model": ("a.stl", b"solid")}}),
        (stack.put, f"/shop/products/{product['product_id']}", "", "admin", {"json": product}),
        (stack.put, f"/crm/orders/{untouched}", "/note", "seller", {"json": {"note": "a note"}}),
        (stack.post, f"/crm/orders/{untouched}", "/hold", "seller", {"json": reason}),
        (stack.post, f"/mes/orders/{untouched}", "/hold", "operator", {"json": reason}),
        (stack.put, f"/partners/v1/webhooks/{hook}", "", "partner", {"json": {"url": "http://127.0.0.1:9/"}}),
    ]
    for send, row, step, who, body in tries:
        before = stack.get(row, who)
        answer = send(row + step, who, headers=old, **body)
        refused(answer, 412, "stale-version")
        if stale in ('"0"', '"99"', 'W/"99"'):  # a version: the response has the current one
            assert answer.headers["etag"] == before.headers["etag"]
        assert stack.get(row, who).headers["etag"] == before.headers["etag"]
    current = {"If-Match": stack.get(f"/shop/orders/{initiated}", "customer").headers["etag"]}
    assert stack.post(f"/shop/orders/{initiated}/cancel", "customer", json=reason, headers=current).is_success
    removed = stack.http.delete(f"/partners/v1/webhooks/{hook}", headers=stack.as_user("partner"))
    assert removed.status_code == 204
