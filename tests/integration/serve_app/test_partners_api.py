"""The partners' API before the real shop: an order in one step, webhooks with what was delivered, keys."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook
from starlette.responses import JSONResponse, PlainTextResponse

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
from tests.integration.data import conftest
from tests.integration.data.test_partners import of_partner
from tests.integration.serve_app.test_partners_sender import Receiver, all_of, ended, sender, sending, served
from tests.support.databases import message_of, run
from tests.unit.data.test_projection import submitted

migrated, service_urls = conftest.migrated, conftest.service_urls
Migrated = Callable[[str], str]
MODEL = bytes(80) + struct.pack("<I", 1) + struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0)
WISH = {"process": "casting", "material": "gold-18k-yellow", "finish": "polished", "quantity": "2", "unit": "mm"}


@dataclass
class Front:
    """All services' address: the partners' and the shop's are real, status is played. ``down``: ends of dead paths."""

    partners: Any = field(default_factory=api.build)
    shop: Any = field(default_factory=shop_api.build)
    status: dict[str, Any] = field(default_factory=dict)
    down: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.asked.append(f"{scope['method']} {path}")
        if path.endswith(self.down):
            await PlainTextResponse("nobody here", 502)(scope, receive, send)
        elif path.startswith("/status/"):
            known = self.status.get(path.rsplit("/", 1)[1])
            await JSONResponse(known or {}, 200 if known else 404)(scope, receive, send)
        else:
            prefix = f"/{path.split('/')[1]}"
            app = {"/partners": self.partners, "/shop": self.shop}[prefix]
            await app({**scope, "root_path": prefix}, receive, send)


@dataclass
class Office:
    """What a test has: the front, a client for partner A and one for partner B, the databases' URLs."""

    front: Front
    a: httpx.AsyncClient
    b: httpx.AsyncClient
    partner: UUID
    database: Database
    shop_url: str


Work = Callable[[Office], Awaitable[None]]


@pytest.fixture
def within(migrated: Migrated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Work], None]]:
    """A function that runs a test's work in an office."""
    urls = {name: migrated(name) for name in ("partners", "shop")}
    for name, url in urls.items():
        monkeypatch.setenv(f"FACET_{name.upper()}_DATABASE_URL", url)
    monkeypatch.setenv("FACET_CURSOR_SECRET", "test")
    monkeypatch.setenv("FACET_MODEL_STORE_URL", f"file://{tmp_path}/models")
    monkeypatch.setenv("FACET_WEBHOOK_PRIVATE_ADDRESSES", "true")

    @asynccontextmanager
    async def office() -> AsyncIterator[Office]:
        front = Front()
        async with served(front) as at, Database(urls["partners"]) as database:
            monkeypatch.setenv("FACET_API_URL", f"http://{at}")
            settings.cache_clear()
            async with database.connection() as connection:
                partner = await repository.add(connection, "jeweller a")
                key_a = await repository.add_key(connection, partner)
                key_b = await repository.add_key(connection, await repository.add(connection, "jeweller b"))
            base = f"http://{at}/partners"
            async with (
                front.partners.router.lifespan_context(front.partners),
                front.shop.router.lifespan_context(front.shop),
                httpx.AsyncClient(base_url=base, headers={"X-API-Key": key_a}, timeout=60) as a,
                httpx.AsyncClient(base_url=base, headers={"X-API-Key": key_b}, timeout=60) as b,
            ):
                yield Office(front, a, b, partner, database, urls["shop"])

    async def main(work: Work) -> None:
        async with office() as here:
            await work(here)

    yield lambda work: run(main(work))
    settings.cache_clear()


async def place(
    client: httpx.AsyncClient, key: str | None = None, model: bytes = MODEL, **changes: str
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post("/v1/orders", data=WISH | changes, files={"model": ("ring.stl", model)}, headers=headers)


def outbox(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM outbox ORDER BY id").fetchall()]


def test_who_calls(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        assert (await here.a.get("/v1/whoami")).json() == {"partner_id": str(here.partner)}
        wrong = await here.a.get("/v1/whoami", headers={"X-API-Key": "facet_wrong"})
        assert (wrong.status_code, wrong.headers["content-type"]) == (401, "application/problem+json")
        async with httpx.AsyncClient(base_url=here.a.base_url) as nobody:
            for path in ("/v1/whoami", "/v1/orders", "/v1/webhooks", "/v1/keys"):
                assert (await nobody.get(path)).status_code == 401

            class Admin:
                async def principal(self, _request: object) -> Principal:
                    return Principal("an administrator", frozenset({Role.ADMIN}))

            here.front.partners.state.authenticator = Admin()
            refused = await nobody.get("/v1/webhooks")
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:facet:problem:forbidden")

    within(work)


def test_an_order_in_one_step_once_for_a_key(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        first = await place(here.a, "k1")
        assert first.status_code == 201, first.text
        placed = first.json()
        assert placed["status"] == "SUBMITTED"
        assert first.headers["location"] == f"/partners/v1/orders/{placed['order_id']}"
        again = await place(here.a, "k1")
        assert (again.status_code, again.json()) == (201, placed)
        assert again.headers["idempotent-replayed"] == "true"
        for other in (await place(here.a, "k1", quantity="3"), await place(here.a, "k1", model=MODEL + MODEL)):
            assert (other.status_code, other.json()["type"]) == (422, "urn:facet:problem:key-reused")
        theirs = await place(here.b, "k1")
        assert theirs.json()["order_id"] != placed["order_id"], "another partner's key"
        assert sum("OrderSubmitted" in value for value in outbox(here.shop_url)) == 2
        assert sum("OrderInitiated" in value for value in outbox(here.shop_url)) == 2
        assert (await place(here.a)).json()["order_id"] != (await place(here.a)).json()["order_id"]

    within(work)


@pytest.mark.parametrize("dead", ["/shop/orders", "/model", "/submit"])
def test_what_failed_half_way_goes_on_with_the_same_key(within: Callable[[Work], None], dead: str) -> None:
    async def work(here: Office) -> None:
        here.front.down = (dead,)
        for _ in range(2):
            failed = await place(here.a, "k1")
            assert (failed.status_code, failed.json()["type"]) == (503, "urn:facet:problem:unavailable")
            assert failed.headers["retry-after"]
        here.front.down = ()
        assert (await place(here.a, "k1")).json()["status"] == "SUBMITTED"
        for kind in ("OrderInitiated", "ModelUploaded", "OrderSubmitted"):
            assert sum(f"facet.{kind}.v1" in value for value in outbox(here.shop_url)) == 1

    within(work)


def test_the_same_order_sent_at_once_many_times_is_one(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        answers = await asyncio.gather(*(place(here.a, "k1") for _ in range(5)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert sum("OrderSubmitted" in value for value in outbox(here.shop_url)) == 1

    within(work)


def test_what_is_refused_is_refused_before_the_shop_hears(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        assert (await place(here.a, material="cheese")).json()["type"] == "urn:facet:problem:not-offered"
        assert (await place(here.a, quantity="0")).json()["type"] == "urn:facet:problem:invalid"
        assert (await place(here.a, unit="parsec")).status_code == 422
        assert (await place(here.a, priority="bulk")).status_code == 422
        assert (await here.a.post("/v1/orders", json=WISH)).status_code == 415
        assert not any("/shop/" in asked for asked in here.front.asked)

    within(work)


def test_an_order_is_looked_up_where_it_is_known(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        ident = (await place(here.a)).json()["order_id"]
        found = (await here.a.get(f"/v1/orders/{ident}")).json()
        assert set(found) == {"order_id", "status", "priority", "quote", "history"}
        assert [line["status"] for line in found["history"]] == ["INITIATED", "FILE_UPLOADED", "SUBMITTED"]
        theirs = await here.b.get(f"/v1/orders/{ident}")
        assert (theirs.status_code, theirs.json()["type"]) == (404, "urn:facet:problem:not-found")
        here.front.status[ident] = {**found, "status": "CLOSED"}
        assert (await here.a.get(f"/v1/orders/{ident}")).json()["status"] == "CLOSED"
        here.front.down = (f"/status/orders/{ident}",)
        assert (await here.a.get(f"/v1/orders/{ident}")).status_code == 503

    within(work)


def test_ones_own_orders_page_by_page(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        placed = [(await place(here.a)).json()["order_id"] for _ in range(3)]
        await place(here.b)
        page = (await here.a.get("/v1/orders", params={"limit": 2})).json()
        rest = (await here.a.get("/v1/orders", params={"limit": 2, "after": page["next"]})).json()
        assert [each["order_id"] for each in page["items"] + rest["items"]] == placed[::-1]
        assert rest["next"] is None
        stolen = await here.b.get("/v1/orders", params={"after": page["next"]})
        assert (stolen.status_code, stolen.json()["type"]) == (400, "urn:facet:problem:bad-page-token")

    within(work)


def test_webhooks_are_made_changed_and_removed(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        new = {"url": "http://127.0.0.1:9/hook", "types": ["facet.QuotePriced.v1"]}
        made = await here.a.post("/v1/webhooks", json=new, headers={"Idempotency-Key": "k"})
        assert made.status_code == 201, made.text
        again = await here.a.post("/v1/webhooks", json=new, headers={"Idempotency-Key": "k"})
        assert again.json() == made.json()
        secret, ident = made.json()["secret"], made.json()["webhook_id"]
        assert secret.startswith("whsec_")
        assert Webhook(secret)
        path, etag = f"/v1/webhooks/{ident}", made.headers["etag"]
        shown = await here.a.get(path)
        assert secret not in shown.text
        assert (shown.json()["types"], shown.headers["etag"]) == (new["types"], etag)
        assert [each["webhook_id"] for each in (await here.a.get("/v1/webhooks")).json()["items"]] == [ident]
        edited = await here.a.put(path, json={"url": new["url"], "active": False}, headers={"If-Match": etag})
        assert (edited.status_code, edited.json()["types"], edited.json()["active"]) == (200, None, False)
        for stale in (
            await here.a.put(path, json=new, headers={"If-Match": etag}),
            await here.a.delete(path, headers={"If-Match": etag}),
        ):
            assert (stale.status_code, stale.headers["etag"]) == (412, edited.headers["etag"])
        for theirs in (
            await here.b.get(path),
            await here.b.put(path, json=new),
            await here.b.delete(path),
            await here.b.get(f"{path}/deliveries"),
        ):
            assert theirs.status_code == 404
        assert (await here.a.delete(path, headers={"If-Match": edited.headers["etag"]})).status_code == 204
        assert (await here.a.get(path)).status_code == 404

    within(work)


def test_where_webhooks_may_not_lead(within: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_WEBHOOK_PRIVATE_ADDRESSES", "false")

    async def work(here: Office) -> None:
        for url in (
            "http://93.184.215.14/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://u@x.example/",
        ):
            refused = await here.a.post("/v1/webhooks", json={"url": url})
            assert (refused.status_code, refused.json()["type"]) == (422, "urn:facet:problem:webhook-address")
        made = await here.a.post("/v1/webhooks", json={"url": "https://93.184.215.14/"})
        path = f"/v1/webhooks/{made.json()['webhook_id']}"
        assert (await here.a.put(path, json={"url": "https://10.0.0.1/"})).status_code == 422
        for types in ([], ["facet.Nothing.v1"], "all"):
            new = {"url": "https://93.184.215.14/", "types": types}
            assert (await here.a.post("/v1/webhooks", json=new)).json()["type"] == "urn:facet:problem:invalid"
        monkeypatch.setattr(service, "MAX_WEBHOOKS", 1)
        assert (await here.a.post("/v1/webhooks", json={"url": "https://93.184.215.14/"})).status_code == 409

    within(work)


def test_from_event_to_webhook(within: Callable[[Work], None]) -> None:
    receiver = Receiver()

    async def work(here: Office) -> None:
        async with served(receiver) as at:
            made = (await here.a.post("/v1/webhooks", json={"url": f"http://{at}/all"})).json()
            priced = {"url": f"http://{at}/priced", "types": [pricing.QuotePriced.event_type()]}
            await here.a.post("/v1/webhooks", json=priced)
            await here.b.post("/v1/webhooks", json={"url": f"http://{at}/other"})
            orders = submitted()
            orders.publish(pricing.QuotePriced)
            events = of_partner(orders.events, here.partner)
            applier = Applier("partners", handle_event, here.database)
            for event in [*reversed(events), *events]:
                await applier.apply([message_of(event)])
            async with sending(sender(here.database)):
                await ended(here.database, UUID(made["webhook_id"]))
                for each in (await here.a.get("/v1/webhooks")).json()["items"]:
                    await ended(here.database, UUID(each["webhook_id"]))
            everything = [each for each in receiver.heard if each.path == "/all"]
            told = [Webhook(made["secret"]).verify(each.body, each.headers) for each in everything]
            assert [each["type"] for each in told] == [event.type for event in events]
            assert [each["data"]["status"] for each in told][-1] == "PRICE_CALCULATED"
            assert told[-1]["data"]["quote"]["total"] == "620.10"
            assert [each.headers["webhook-id"] for each in everything] == [str(event.id) for event in events]
            assert sorted(each.path for each in receiver.heard) == ["/all"] * 4 + ["/priced"]

            sent = f"/v1/webhooks/{made['webhook_id']}/deliveries"
            page = (await here.a.get(sent, params={"limit": 3})).json()
            rest = (await here.a.get(sent, params={"limit": 3, "after": page["next"]})).json()
            listed = page["items"] + rest["items"]
            assert {each["event_id"] for each in listed} == {str(event.id) for event in events}
            assert {each["state"] for each in listed} == {"delivered"}
            one = f"/v1/deliveries/{listed[0]['delivery_id']}"
            assert [each["answer"] for each in (await here.a.get(f"{one}/attempts")).json()["items"]] == [204]
            assert (await here.b.get(f"{one}/attempts")).status_code == 404
            assert (await here.b.post(f"{one}/replay")).status_code == 404
            assert (await here.a.post(f"{one}/replay")).json()["state"] == "pending"
            pending = await here.a.post(f"{one}/replay")
            assert (pending.status_code, pending.json()["type"]) == (409, "urn:facet:problem:pending")
            async with sending(sender(here.database, RetryPolicy())):
                await ended(here.database, UUID(made["webhook_id"]))
            assert len(await all_of(here.database, UUID(made["webhook_id"]))) == 4
            assert [each["n"] for each in (await here.a.get(f"{one}/attempts")).json()["items"]] == [1, 2]

    within(work)


def test_keys_are_made_listed_and_withdrawn(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        made = await here.a.post("/v1/keys")
        key, ident = made.json()["api_key"], made.json()["key_id"]
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
        assert (await here.a.get("/v1/whoami", headers={"X-API-Key": key})).status_code == 200
        listed = await here.a.get("/v1/keys")
        assert key not in listed.text
        assert len(listed.json()["items"]) == 2
        assert (await here.b.delete(f"/v1/keys/{ident}")).status_code == 404
        assert (await here.a.delete(f"/v1/keys/{ident}")).status_code == 204
        assert (await here.a.delete(f"/v1/keys/{ident}")).status_code == 404
        assert (await here.a.get("/v1/whoami", headers={"X-API-Key": key})).status_code == 401
        assert (await here.a.delete(f"/v1/keys/{new_id()}")).status_code == 404

    within(work)


def test_the_openapi_document_tells_of_all(within: Callable[[Work], None]) -> None:
    async def work(here: Office) -> None:
        document = (await here.a.get("/openapi.json")).json()
        assert "/v1/orders" in document["paths"]
        form = document["paths"]["/v1/orders"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert form["required"] == ["model", "material"]
        assert set(form["properties"]) == {"model", *WISH, "priority"}

    within(work)
