"""Every path with every role, by the table of `tests/support/permissions.py`; a path that it does not have fails.

A row of another owner is reported as not found, so that its existence is not disclosed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from cluster.local import demo_accounts
from serve_app.kit.principal import Role
from serve_app.kit.tokens import ALGORITHMS, AUDIENCE, LEEWAY_S, Issuer
from tests.support.permissions import ANONYMOUS, BUYERS, PERMITTED, PRICING, ROLES
from tests.support.stack import Stack
from tests.support.waiting import wait_until

OWNED = {
    "/shop/orders/{order_id}": "orders",
    "/status/orders/{order_id}": "orders",
    "/partners/v1/orders/{order_id}": "orders",
    "/pricing/quotes/{quote_id}": "quotes",
}
"""The prefixes of paths to rows that have an owner."""
PROTECTED = (
    "/shop/orders", "/pricing/quotes", "/crm/orders", "/mes/orders", "/status/orders", "/partners/v1/whoami",
)  # fmt: skip
"""A path of each service that requires authentication."""
NO_ID = str(UUID("01920000-0000-7000-8000-00000000dead"))
WEBHOOK = {"url": "http://127.0.0.1:9/hook"}
REASON = {"json": {"reason": "a test"}}
BODIES: dict[str, dict[str, Any]] = {
    "POST /auth/token": {"data": {"grant_type": "password", "username": "customer", "password": "wrong"}},
    "PUT /shop/products/{product_id}": {
        "json": {
            "name": "Ring", "category": "rings", "description": "", "process": "casting", "material": "brass",
            "price": "1.00", "currency": "EUR", "in_stock": False,
        }
    },
    "POST /shop/orders": {"json": {"material": "brass"}},
    "PUT /shop/orders/{order_id}/model": {"files": {"model": ("a.stl", b"solid")}},
    "POST /pricing/quotes": {"files": {"model": ("a.stl", b"solid")}, "data": {"material": "brass"}},
    "PUT /crm/orders/{order_id}/note": {"json": {"note": "a note"}},
    "POST /partners/v1/orders": {"files": {"model": ("a.stl", b"solid")}, "data": {"material": "brass"}},
    "POST /partners/v1/webhooks": {"json": WEBHOOK},
    "PUT /partners/v1/webhooks/{webhook_id}": {"json": WEBHOOK},
    **{path: REASON for path in PERMITTED if path.rpartition("/")[2] in ("cancel", "reject", "hold", "rework")},
}  # fmt: skip
"""A valid body for each operation that needs one."""


def call(stack: Stack, operation: str, who: str, row_id: str = NO_ID) -> httpx.Response:
    """Call an operation with a valid body; of an event stream, read only the head."""
    method, path = operation.split()
    path = "/".join(row_id if part.startswith("{") else part for part in path.split("/"))
    headers = {} if who == ANONYMOUS else stack.as_user(who)
    with stack.http.stream(method, path, headers=headers, **BODIES.get(operation, {})) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()
    return answer


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """Check the status and code of a problem."""
    assert answer.status_code == status, f"{answer.request.method} {answer.request.url.path}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:facet:problem:{code}"
    assert status != 401 or answer.headers["www-authenticate"].startswith("Bearer")


def test_the_table_has_every_path(stack: Stack) -> None:
    paths = stack.http.get("/openapi.json").raise_for_status().json()["paths"]
    assert {f"{method.upper()} {path}" for path, item in paths.items() for method in item} == set(PERMITTED)


@pytest.mark.parametrize("operation", PERMITTED)
def test_only_permitted_roles_may_call(stack: Stack, operation: str) -> None:
    for who in ROLES:
        answer = call(stack, operation, who)
        if who in PERMITTED[operation]:
            # The password above is wrong on purpose: the path itself is open to all.
            allowed = {401} if operation == "POST /auth/token" else {404} if "{" in operation else {200, 201, 202}
            assert answer.status_code in allowed, f"{who}: {answer.text}"
        elif who == ANONYMOUS:
            refused(answer, 401, "unauthorized")
        else:
            refused(answer, 403, "forbidden")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows by kind and by owner."""

    orders: dict[str, str]
    quotes: dict[str, str]


def has_status(stack: Stack, order_id: str, who: str) -> bool:
    return stack.get(f"/status/orders/{order_id}", who).is_success


@pytest.fixture(scope="module")
def rows(stack: Stack) -> Rows:
    """Return an order, without a model, of every buyer, and a quote of every role that may request one."""
    orders = {who: call(stack, "POST /shop/orders", who).json()["order_id"] for who in BUYERS}
    quotes = {who: call(stack, "POST /pricing/quotes", who).json()["quote_id"] for who in PRICING}
    for who, row_id in orders.items():
        wait_until(partial(has_status, stack, row_id, who), what="the status service has the order")
    return Rows(orders, quotes)


@pytest.mark.parametrize("operation", [each for each in PERMITTED if each.split()[1].startswith(tuple(OWNED))])
def test_rows_of_others_are_not_found(stack: Stack, rows: Rows, operation: str) -> None:
    kind = next(kind for path, kind in OWNED.items() if operation.split()[1].startswith(path))
    for owner, row_id in getattr(rows, kind).items():
        for who in PERMITTED[operation] - {owner, "admin"}:
            answer = call(stack, operation, who, row_id)
            refused(answer, 404, "not-found")
            assert answer.json()["detail"] == call(stack, operation, who).json()["detail"]
        for who in PERMITTED[operation] & {owner, "admin"} if operation.startswith("GET") else ():
            assert call(stack, operation, who, row_id).status_code == 200
    # No request above has changed an order.
    for owner, row_id in rows.orders.items():
        assert stack.get(f"/shop/orders/{row_id}", owner).headers["etag"] == '"1"'


@pytest.mark.parametrize(
    ("path", "kind"), [("/shop/orders", "orders"), ("/status/orders", "orders"), ("/pricing/quotes", "quotes")]
)
def test_lists_contain_own_rows_only(stack: Stack, rows: Rows, path: str, kind: str) -> None:
    owners = getattr(rows, kind)
    for who in owners:
        items = stack.get(path, who, params={"limit": 200}).json()["items"]
        ids = {row[f"{kind[:-1]}_id"] for row in items}
        assert {owner for owner, row_id in owners.items() if row_id in ids} == {who}


def test_a_revoked_key_is_refused(stack: Stack) -> None:
    created = stack.post("/partners/v1/keys", "partner").json()
    headers = {"X-API-Key": created["api_key"]}
    assert stack.http.get("/partners/v1/whoami", headers=headers).status_code == 200
    assert stack.http.delete(f"/partners/v1/keys/{created['key_id']}", headers=headers).status_code == 204
    refused(stack.http.get("/partners/v1/whoami", headers=headers), 401, "unauthorized")


@pytest.fixture(scope="module")
def issuer(stack: Stack) -> Issuer:
    """Return the stack's issuer with its private key."""
    key = OKPKey.import_key(json.loads(demo_accounts.signing_key(stack.folder / ".facet" / "stack" / "data")))
    return Issuer(f"{stack.url}/auth", key, 60)


def signed(issuer: Issuer, key: OKPKey, **changes: Any) -> str:
    """Return a token with all roles and with changed claims."""
    now = int(time.time())
    usual = {"iss": issuer.name, "aud": AUDIENCE, "sub": "eve", "roles": sorted(Role), "iat": now, "exp": now + 60}
    header = {"alg": "Ed25519", "kid": issuer.key.thumbprint()}
    return jwt.encode(header, {**usual, **changes}, key, algorithms=ALGORITHMS)


def without_algorithm(issuer: Issuer) -> str:
    _, claims, _ = signed(issuer, issuer.key).split(".")
    return f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}."


def by_public_key(issuer: Issuer) -> str:
    """Return a token signed with the public key as if that were a shared secret."""
    secret = OctKey.import_key(json.dumps(issuer.key.as_dict(private=False)))
    header = {"alg": "HS256", "kid": issuer.key.thumbprint()}
    claims = {"iss": issuer.name, "aud": AUDIENCE, "sub": "eve", "roles": sorted(Role), "exp": int(time.time()) + 60}
    return jwt.encode(header, claims, secret, algorithms=["HS256"])


FORGED: dict[str, Callable[[Issuer], str]] = {
    "stale": lambda issuer: issuer.token("eve", list(Role), time.time() - 60 - LEEWAY_S - 5),
    "not yet": lambda issuer: issuer.token("eve", list(Role), time.time() + LEEWAY_S + 60),
    "another key": lambda issuer: signed(issuer, OKPKey.generate_key("Ed25519")),
    "another issuer": lambda issuer: signed(issuer, issuer.key, iss="https://elsewhere.example"),
    "another audience": lambda issuer: signed(issuer, issuer.key, aud="elsewhere"),
    "no end": lambda issuer: signed(issuer, issuer.key, exp=None),
    "no algorithm": without_algorithm,
    "the public key as a secret": by_public_key,
    "cut off": lambda issuer: signed(issuer, issuer.key)[:-20],
    "no token": lambda _: "eve",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_refused_everywhere(stack: Stack, issuer: Issuer, forged: str) -> None:
    token = FORGED[forged](issuer)
    for path in PROTECTED:
        refused(stack.http.get(path, headers={"Authorization": f"Bearer {token}"}), 401, "unauthorized")


def test_small_clock_differences_are_accepted(stack: Stack, issuer: Issuer) -> None:
    for off in (-60 - LEEWAY_S + 10, LEEWAY_S - 10):
        token = issuer.token("somebody", [Role.CUSTOMER], time.time() + off)
        assert stack.http.get("/shop/orders", headers={"Authorization": f"Bearer {token}"}).json()["items"] == []


@pytest.mark.parametrize("key", ["wrong", "é", "x" * 4000, "fk_" + "0" * 40])
def test_an_unknown_key_is_refused_everywhere(stack: Stack, key: str) -> None:
    for path in PROTECTED:
        refused(stack.http.get(path, headers={b"X-API-Key": key.encode("latin-1")}), 401, "unauthorized")
