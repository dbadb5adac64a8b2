"""Responses: ETags and If-Match, pages of lists, and POSTs that are repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.responses import Response

from data.kit import idempotency
from data.kit.database import Database
from data.kit.errors import KeyReused
from data.kit.paging import Cursors, Position
from serve_app.kit import problems
from serve_app.kit.idempotency import Created, IdempotencyKey, create_once
from serve_app.kit.pagination import PageParams, page_response
from serve_app.kit.responses import IfMatchVersion, json_response
from serve_app.kit.ttl_cache import TtlCache

CURSORS = Cursors(b"secret")


class Ring(BaseModel):
    size: int


@dataclass(frozen=True)
class Row:
    id: UUID
    created_at: datetime
    size: int


ROWS = [Row(UUID(int=n), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n), n) for n in range(25, 0, -1)]


@dataclass
class FakeDatabase:
    """A database with transactions and a table of idempotency keys."""

    keys: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    created: int = 0

    @asynccontextmanager
    async def transaction(self) -> Any:
        yield self

    connection = transaction

    async def once(
        self, _connection: Any, request: idempotency.IdempotentRequest, work: Callable[[], Awaitable[dict[str, Any]]]
    ) -> tuple[dict[str, Any], bool]:
        stored = self.keys.get((request.caller, request.key))
        if stored is None:
            self.keys[request.caller, request.key] = request.body_sha256, await work()
            return self.keys[request.caller, request.key][1], False
        if stored[0] != request.body_sha256:
            raise KeyReused("another body")
        return stored[1], True


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    database = FakeDatabase()
    monkeypatch.setattr(idempotency, "run_once", database.once)
    return database


def application(database: FakeDatabase) -> FastAPI:
    app = FastAPI()
    app.state.cursors, app.state.database, app.state.lists = CURSORS, database, TtlCache(0)
    problems.install(app)

    @app.get("/rings/{size}")
    async def ring(size: int) -> Response:
        return json_response(Ring(size=size), version=3, cache_control="no-store")

    @app.put("/rings/{size}")
    async def edit(size: int, expected_version: IfMatchVersion) -> dict[str, int | None]:
        return {"expected": expected_version}

    @app.get("/rings")
    async def rings(page: PageParams, kind: str = "all") -> Response:
        async def fetch(_connection: Any, place: Position, limit: int) -> list[Row]:
            return [row for row in ROWS if (row.created_at, row.id) < (place.created_at, place.id)][: limit + 1]

        return await page_response(page, f"rings {kind}", fetch, lambda row: Ring(size=row.size).model_dump_json())

    @app.post("/rings")
    async def create(request: Request, ring: Ring, key: IdempotencyKey = None) -> Response:
        async def create_ring(_connection: Any) -> Created:
            database.created += 1
            return Created(HTTPStatus.CREATED, Ring(size=database.created), {"Location": f"/rings/{database.created}"})

        body = [ring.model_dump_json().encode()]
        return await create_once(cast("Database", database), key, "ann", request, body, create_ring)

    return app


async def ask(method: str, path: str, database: FakeDatabase | None = None, **options: Any) -> httpx.Response:
    transport = httpx.ASGITransport(application(database or FakeDatabase()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **options)


async def test_a_version_is_the_etag_and_names_become_headers() -> None:
    answer = await ask("GET", "/rings/17")
    assert answer.json() == {"size": 17}
    assert (answer.headers["etag"], answer.headers["cache-control"]) == ('"3"', "no-store")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("sent", "expected"), [(None, None), ("*", None), (" * ", None), ('"3"', 3), ('W/"3"', 3), (' "0" ', 0)]
)
async def test_if_match_is_the_expected_version(sent: str | None, expected: int | None) -> None:
    answer = await ask("PUT", "/rings/17", headers={} if sent is None else {"If-Match": sent})
    assert answer.json() == {"expected": expected}


@pytest.mark.parametrize("sent", ["3", '"three"', '"-3"', '"3', '"3", "4"', '"' + "9" * 10 + '"', "", '"٣"'])
async def test_an_invalid_etag_matches_no_version(sent: str) -> None:
    answer = await ask("PUT", "/rings/17", headers={"If-Match": sent.encode()})
    assert (answer.status_code, answer.json()["type"]) == (412, "urn:facet:problem:stale-version")


@settings(deadline=None)
@given(limit=st.integers(1, 30))
async def test_pages_follow_each_other_without_gap_or_repetition(limit: int) -> None:
    sizes: list[int] = []
    after: str | None = None
    while True:
        page = (await ask("GET", "/rings", params={"limit": limit, **({"after": after} if after else {})})).json()
        sizes += [ring["size"] for ring in page["items"]]
        assert len(page["items"]) <= limit
        after = page["next"]
        if after is None:
            break
    assert sizes == [row.size for row in ROWS]


async def test_a_page_token_is_for_its_list_alone() -> None:
    after = (await ask("GET", "/rings", params={"limit": 5})).json()["next"]
    for path, token in (("/rings?kind=wide", after), ("/rings", "nonsense"), ("/rings", ""), ("/rings", f"A{after}")):
        answer = await ask("GET", path, params={"after": token, **({"kind": "wide"} if "wide" in path else {})})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:facet:problem:bad-page-token"), token


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 201}, {"limit": "many"}, {"after": "x" * 201}])
async def test_pages_have_bounds(params: dict[str, Any]) -> None:
    assert (await ask("GET", "/rings", params=params)).status_code == 422


async def test_a_repeated_post_returns_the_first_response(database: FakeDatabase) -> None:
    first = await ask("POST", "/rings", database, json={"size": 17}, headers={"Idempotency-Key": "k"})
    again = await ask("POST", "/rings", database, json={"size": 17}, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code, database.created) == (201, 201, 1)
    assert (again.content, again.headers["location"]) == (first.content, first.headers["location"])
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = await ask("POST", "/rings", database, json={"size": 18}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["type"]) == (422, "urn:facet:problem:key-reused")


async def test_without_a_key_each_post_creates(database: FakeDatabase) -> None:
    assert [(await ask("POST", "/rings", database, json={"size": 17})).json()["size"] for _ in range(2)] == [1, 2]
    assert database.keys == {}


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_keys_have_bounds(database: FakeDatabase, key: str) -> None:
    answer = await ask("POST", "/rings", database, json={"size": 17}, headers={"Idempotency-Key": key})
    assert (answer.status_code, database.created) == (422, 0)
