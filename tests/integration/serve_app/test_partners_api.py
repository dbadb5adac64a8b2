"""The partners' API with the real shop: an order in one request, webhooks and their deliveries, keys."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from data.contracts import pricing
from data.kit.applier import Applier
from data.kit.database import Database
from data.kit.ids import new_id
from data.partners import repository
from serve_app.kit.principal import Principal, Role
from serve_app.kit.settings import settings
from serve_app.partners import api, service
from serve_app.partners.handlers import handle_event
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.shop import api as shop_api
from tests.support.databases import message_of
from tests.support.order_events import of_partner, submitted
from tests.support.webhook_receiver import Receiver, served
from tests.support.webhook_sender import all_of, ended, sender, sending

Migrated = Callable[[str], str]
MODEL = bytes(80) + struct.pack("<I", 1) + struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0)
ORDER_FORM = {"process": "casting", "material": "gold-18k-yellow", "finish": "polished", "quantity": "2", "unit": "mm"}


@dataclass
class Gateway:
    """The gateway of all services: partners and shop are real, status is simulated; paths ending with ``down`` fail."""

    partners: FastAPI = field(default_factory=api.build)
    shop: FastAPI = field(default_factory=shop_api.build)
    status: dict[str, Any] = field(default_factory=dict)
    down: tuple[str, ...] = ()
    requests: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.requests.append(f"{scope['method']} {path}")
        if path.endswith(self.down):
            await PlainTextResponse("no service", 502)(scope, receive, send)
        elif path.startswith("/status/"):
            stored = self.status.get(path.rsplit("/", 1)[1])
            await JSONResponse(stored or {}, 200 if stored else 404)(scope, receive, send)
        else:
            prefix = f"/{path.split('/')[1]}"
            app = {"/partners": self.partners, "/shop": self.shop}[prefix]
            await app({**scope, "root_path": prefix}, receive, send)


@dataclass
class System:
    """The system under test: the gateway, a client of each of two partners, and the databases."""

    gateway: Gateway
    a: httpx.AsyncClient
    b: httpx.AsyncClient
    partner: UUID
    database: Database
    shop_url: str


@pytest.fixture
def private_addresses() -> bool:
    """Whether webhooks may have private addresses."""
    return True


@pytest.fixture
async def system(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_addresses: bool
) -> AsyncIterator[System]:
    """Yield the running system with two partners."""
    urls = {name: migrated(name) for name in ("partners", "shop")}
    for name, url in urls.items():
        monkeypatch.setenv(f"FACET_{name.upper()}_DATABASE_URL", url)
    monkeypatch.setenv("FACET_CURSOR_SECRET", "test")
    monkeypatch.setenv("FACET_MODEL_STORE_URL", f"file://{tmp_path}/models")
    monkeypatch.setenv("FACET_WEBHOOK_PRIVATE_ADDRESSES", str(private_addresses).lower())
    gateway = Gateway()
    async with served(gateway) as at, Database(urls["partners"]) as database:
        monkeypatch.setenv("FACET_API_URL", f"http://{at}")
        settings.cache_clear()
        async with database.connection() as connection:
            partner = await repository.add(connection, "jeweller a")
            key_a = await repository.add_key(connection, partner)
            key_b = await repository.add_key(connection, await repository.add(connection, "jeweller b"))
        base = f"http://{at}/partners"
        async with (
            gateway.partners.router.lifespan_context(gateway.partners),
            gateway.shop.router.lifespan_context(gateway.shop),
            httpx.AsyncClient(base_url=base, headers={"X-API-Key": key_a}, timeout=60) as a,
            httpx.AsyncClient(base_url=base, headers={"X-API-Key": key_b}, timeout=60) as b,
        ):
            yield System(gateway, a, b, partner, database, urls["shop"])
    settings.cache_clear()


async def place(
    client: httpx.AsyncClient, key: str | None = None, model: bytes = MODEL, **changes: str
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(
        "/v1/orders", data=ORDER_FORM | changes, files={"model": ("ring.stl", model)}, headers=headers
    )


def outbox(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM outbox ORDER BY id").fetchall()]


async def test_callers_are_authenticated(system: System) -> None:
    assert (await system.a.get("/v1/whoami")).json() == {"partner_id": str(system.partner)}
    wrong = await system.a.get("/v1/whoami", headers={"X-API-Key": "facet_wrong"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (401, "application/problem+json")
    async with httpx.AsyncClient(base_url=system.a.base_url) as anonymous:
        for path in ("/v1/whoami", "/v1/orders", "/v1/webhooks", "/v1/keys"):
            assert (await anonymous.get(path)).status_code == 401

        class Admin:
            async def principal(self, _request: object) -> Principal:
                return Principal("an administrator", frozenset({Role.ADMIN}))

        system.gateway.partners.state.authenticator = Admin()
        refused = await anonymous.get("/v1/webhooks")
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:facet:problem:forbidden")


async def test_an_order_in_one_request_once_per_idempotency_key(system: System) -> None:
    first = await place(system.a, "k1")
    assert first.status_code == 201, first.text
    placed = first.json()
    assert placed["status"] == "SUBMITTED"
    assert first.headers["location"] == f"/partners/v1/orders/{placed['order_id']}"
    again = await place(system.a, "k1")
    assert (again.status_code, again.json()) == (201, placed)
    assert again.headers["idempotent-replayed"] == "true"
    for other in (await place(system.a, "k1", quantity="3"), await place(system.a, "k1", model=MODEL + MODEL)):
        assert (other.status_code, other.json()["type"]) == (422, "urn:facet:problem:key-reused")
    of_other = await place(system.b, "k1")
    assert of_other.json()["order_id"] != placed["order_id"], "another partner's key"
    assert sum("OrderSubmitted" in value for value in outbox(system.shop_url)) == 2
    assert sum("OrderInitiated" in value for value in outbox(system.shop_url)) == 2
    assert (await place(system.a)).json()["order_id"] != (await place(system.a)).json()["order_id"]


@pytest.mark.parametrize("failing", ["/shop/orders", "/model", "/submit"])
async def test_a_partial_order_continues_with_the_same_key(system: System, failing: str) -> None:
    system.gateway.down = (failing,)
    for _ in range(2):
        failed = await place(system.a, "k1")
        assert (failed.status_code, failed.json()["type"]) == (503, "urn:facet:problem:unavailable")
        assert failed.headers["retry-after"]
    system.gateway.down = ()
    assert (await place(system.a, "k1")).json()["status"] == "SUBMITTED"
    for kind in ("OrderInitiated", "ModelUploaded", "OrderSubmitted"):
        assert sum(f"facet.{kind}.v1" in value for value in outbox(system.shop_url)) == 1


async def test_concurrent_equal_requests_create_one_order(system: System) -> None:
    answers = await asyncio.gather(*(place(system.a, "k1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("OrderSubmitted" in value for value in outbox(system.shop_url)) == 1


async def test_an_invalid_order_does_not_reach_the_shop(system: System) -> None:
    assert (await place(system.a, material="cheese")).json()["type"] == "urn:facet:problem:not-offered"
    assert (await place(system.a, quantity="0")).json()["type"] == "urn:facet:problem:invalid"
    assert (await place(system.a, unit="parsec")).status_code == 422
    assert (await place(system.a, priority="bulk")).status_code == 422
    assert (await system.a.post("/v1/orders", json=ORDER_FORM)).status_code == 415
    assert not any("/shop/" in request for request in system.gateway.requests)


async def test_an_order_is_read_from_status_or_else_from_the_shop(system: System) -> None:
    order_id = (await place(system.a)).json()["order_id"]
    found = (await system.a.get(f"/v1/orders/{order_id}")).json()
    assert set(found) == {"order_id", "status", "priority", "quote", "history"}
    assert [line["status"] for line in found["history"]] == ["INITIATED", "FILE_UPLOADED", "SUBMITTED"]
    of_other = await system.b.get(f"/v1/orders/{order_id}")
    assert (of_other.status_code, of_other.json()["type"]) == (404, "urn:facet:problem:not-found")
    system.gateway.status[order_id] = {**found, "status": "CLOSED"}
    assert (await system.a.get(f"/v1/orders/{order_id}")).json()["status"] == "CLOSED"
    system.gateway.down = (f"/status/orders/{order_id}",)
    assert (await system.a.get(f"/v1/orders/{order_id}")).status_code == 503


async def test_a_partners_own_orders_are_paged(system: System) -> None:
    placed = [(await place(system.a)).json()["order_id"] for _ in range(3)]
    await place(system.b)
    page = (await system.a.get("/v1/orders", params={"limit": 2})).json()
    rest = (await system.a.get("/v1/orders", params={"limit": 2, "after": page["next"]})).json()
    assert [each["order_id"] for each in page["items"] + rest["items"]] == placed[::-1]
    assert rest["next"] is None
    stolen = await system.b.get("/v1/orders", params={"after": page["next"]})
    assert (stolen.status_code, stolen.json()["type"]) == (400, "urn:facet:problem:bad-page-token")


async def test_webhooks_are_created_edited_and_removed(system: System) -> None:
    new = {"url": "http://127.0.0.1:9/hook", "types": ["facet.QuotePriced.v1"]}
    created = await system.a.post("/v1/webhooks", json=new, headers={"Idempotency-Key": "k"})
    assert created.status_code == 201, created.text
    again = await system.a.post("/v1/webhooks", json=new, headers={"Idempotency-Key": "k"})
    assert again.json() == created.json()
    secret, webhook_id = created.json()["secret"], created.json()["webhook_id"]
    assert secret.startswith("whsec_")
    assert Webhook(secret)
    path, etag = f"/v1/webhooks/{webhook_id}", created.headers["etag"]
    read = await system.a.get(path)
    assert secret not in read.text
    assert (read.json()["types"], read.headers["etag"]) == (new["types"], etag)
    assert [each["webhook_id"] for each in (await system.a.get("/v1/webhooks")).json()["items"]] == [webhook_id]
    edited = await system.a.put(path, json={"url": new["url"], "active": False}, headers={"If-Match": etag})
    assert (edited.status_code, edited.json()["types"], edited.json()["active"]) == (200, None, False)
    for stale in (
        await system.a.put(path, json=new, headers={"If-Match": etag}),
        await system.a.delete(path, headers={"If-Match": etag}),
    ):
        assert (stale.status_code, stale.headers["etag"]) == (412, edited.headers["etag"])
    for of_other in (
        await system.b.get(path),
        await system.b.put(path, json=new),
        await system.b.delete(path),
        await system.b.get(f"{path}/deliveries"),
    ):
        assert of_other.status_code == 404
    assert (await system.a.delete(path, headers={"If-Match": edited.headers["etag"]})).status_code == 204
    assert (await system.a.get(path)).status_code == 404


@pytest.mark.parametrize("private_addresses", [False])
async def test_private_and_unsafe_webhook_addresses_are_refused(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (
        "http://93.184.215.14/",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://u@x.example/",
    ):
        refused = await system.a.post("/v1/webhooks", json={"url": url})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:facet:problem:webhook-address")
    created = await system.a.post("/v1/webhooks", json={"url": "https://93.184.215.14/"})
    path = f"/v1/webhooks/{created.json()['webhook_id']}"
    assert (await system.a.put(path, json={"url": "https://10.0.0.1/"})).status_code == 422
    for types in ([], ["facet.Nothing.v1"], "all"):
        new = {"url": "https://93.184.215.14/", "types": types}
        assert (await system.a.post("/v1/webhooks", json=new)).json()["type"] == "urn:facet:problem:invalid"
    monkeypatch.setattr(service, "MAX_WEBHOOKS", 1)
    assert (await system.a.post("/v1/webhooks", json={"url": "https://93.184.215.14/"})).status_code == 409


async def test_an_event_is_delivered_to_its_webhooks(system: System) -> None:
    receiver = Receiver()

    async with served(receiver) as at:
        created = (await system.a.post("/v1/webhooks", json={"url": f"http://{at}/all"})).json()
        priced = {"url": f"http://{at}/priced", "types": [pricing.QuotePriced.event_type()]}
        await system.a.post("/v1/webhooks", json=priced)
        await system.b.post("/v1/webhooks", json={"url": f"http://{at}/other"})
        orders = submitted()
        orders.publish(pricing.QuotePriced)
        events = of_partner(orders.events, system.partner)
        applier = Applier("partners", handle_event, system.database)
        for event in [*reversed(events), *events]:
            await applier.apply([message_of(event)])
        async with sending(sender(system.database)):
            await ended(system.database, UUID(created["webhook_id"]))
            for each in (await system.a.get("/v1/webhooks")).json()["items"]:
                await ended(system.database, UUID(each["webhook_id"]))
        everything = [each for each in receiver.requests if each.path == "/all"]
        sent = [Webhook(created["secret"]).verify(each.body, each.headers) for each in everything]
        assert [each["type"] for each in sent] == [event.type for event in events]
        assert [each["data"]["status"] for each in sent][-1] == "PRICE_CALCULATED"
        assert sent[-1]["data"]["quote"]["total"] == "620.10"
        assert [each.headers["webhook-id"] for each in everything] == [str(event.id) for event in events]
        assert sorted(each.path for each in receiver.requests) == ["/all"] * 4 + ["/priced"]

        path = f"/v1/webhooks/{created['webhook_id']}/deliveries"
        page = (await system.a.get(path, params={"limit": 3})).json()
        rest = (await system.a.get(path, params={"limit": 3, "after": page["next"]})).json()
        items = page["items"] + rest["items"]
        assert {each["event_id"] for each in items} == {str(event.id) for event in events}
        assert {each["state"] for each in items} == {"delivered"}
        one = f"/v1/deliveries/{items[0]['delivery_id']}"
        assert [each["answer"] for each in (await system.a.get(f"{one}/attempts")).json()["items"]] == [204]
        assert (await system.b.get(f"{one}/attempts")).status_code == 404
        assert (await system.b.post(f"{one}/replay")).status_code == 404
        assert (await system.a.post(f"{one}/replay")).json()["state"] == "pending"
        pending = await system.a.post(f"{one}/replay")
        assert (pending.status_code, pending.json()["type"]) == (409, "urn:facet:problem:pending")
        async with sending(sender(system.database, RetryPolicy())):
            await ended(system.database, UUID(created["webhook_id"]))
        assert len(await all_of(system.database, UUID(created["webhook_id"]))) == 4
        assert [each["n"] for each in (await system.a.get(f"{one}/attempts")).json()["items"]] == [1, 2]


async def test_keys_are_created_read_and_revoked(system: System) -> None:
    created = await system.a.post("/v1/keys")
    key, key_id = created.json()["api_key"], created.json()["key_id"]
    assert (created.status_code, created.headers["cache-control"]) == (201, "no-store")
    assert (await system.a.get("/v1/whoami", headers={"X-API-Key": key})).status_code == 200
    items = await system.a.get("/v1/keys")
    assert key not in items.text
    assert len(items.json()["items"]) == 2
    assert (await system.b.delete(f"/v1/keys/{key_id}")).status_code == 404
    assert (await system.a.delete(f"/v1/keys/{key_id}")).status_code == 204
    assert (await system.a.delete(f"/v1/keys/{key_id}")).status_code == 404
    assert (await system.a.get("/v1/whoami", headers={"X-API-Key": key})).status_code == 401
    assert (await system.a.delete(f"/v1/keys/{new_id()}")).status_code == 404


async def test_the_openapi_document_describes_the_order_form(system: System) -> None:
    document = (await system.a.get("/openapi.json")).json()
    assert "/v1/orders" in document["paths"]
    form = document["paths"]["/v1/orders"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["model", "material"]
    assert set(form["properties"]) == {"model", *ORDER_FORM, "priority"}
