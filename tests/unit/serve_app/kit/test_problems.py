"""Errors: each becomes a problem of the right status, and none discloses internals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI, HTTPException
from psycopg_pool import PoolTimeout
from pydantic import BaseModel

from data.contracts.lifecycle import IllegalStep, OrderStatus, Step
from data.kit.errors import BadCursor, KeyReused, NotFound, StaleVersion
from data.model_store.store import ModelTooLarge, StoreUnavailable
from serve_app.kit import problems
from serve_app.kit.problems import MEDIA_TYPE, TYPE_PREFIX, Problem, ProblemBody


class Ring(BaseModel):
    size: int


def app_that_raises(error: Exception | None = None) -> FastAPI:
    app = FastAPI(responses=problems.DOCUMENTED)
    problems.install(app)

    @app.post("/rings", max_body_size=200_000)
    async def create(ring: Ring) -> Ring:
        if error is not None:
            raise error
        return ring

    return app


async def ask(app: FastAPI, method: str = "POST", path: str = "/rings", **body: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **(body or {"json": {"size": 17}}))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Problem(HTTPStatus.CONFLICT, "over", "too late"), 409, "over"),
        (problems.not_found("ring"), 404, "not-found"),
        (problems.unavailable("away"), 503, "unavailable"),
        (IllegalStep(OrderStatus.SHIPPED, Step.CANCEL, [Step.CLOSE]), 409, "illegal-step"),
        (StaleVersion(4), 412, "stale-version"),
        (NotFound("there is no such ring"), 404, "not-found"),
        (KeyReused("another body"), 422, "key-reused"),
        (BadCursor("not ours"), 400, "bad-page-token"),
        (ModelTooLarge(1 << 20), 413, "model-too-large"),
        (StoreUnavailable("the disk is full"), 503, "unavailable"),
        (psycopg.DataError("text fields cannot contain NUL (0x00) bytes"), 422, "not-storable"),
        (psycopg.errors.NumericValueOutOfRange("out of range"), 422, "not-storable"),
        (psycopg.OperationalError("no"), 503, "unavailable"),
        (psycopg.errors.LockNotAvailable("no"), 503, "unavailable"),
        (psycopg.errors.QueryCanceled("no"), 503, "unavailable"),
        (psycopg.errors.AdminShutdown("no"), 503, "unavailable"),
        (PoolTimeout("no"), 503, "unavailable"),
        (HTTPException(418), 418, "i'm-a-teapot"),
        (ZeroDivisionError("secret"), 500, "internal-error"),
        (psycopg.errors.UndefinedTable("secret"), 500, "internal-error"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None,
)
async def test_every_error_is_a_problem(error: Exception, status: int, code: str) -> None:
    answer = await ask(app_that_raises(error))
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    body = ProblemBody.model_validate_json(answer.content)
    assert (body.type, body.status, body.instance) == (TYPE_PREFIX + code, status, "/rings")
    assert "secret" not in answer.text


async def test_problems_contain_what_a_client_needs_to_continue() -> None:
    illegal = await ask(app_that_raises(IllegalStep(OrderStatus.SHIPPED, Step.CANCEL, [Step.CLOSE])))
    assert (illegal.json()["order_status"], illegal.json()["legal_steps"]) == ("SHIPPED", ["close"])
    assert (await ask(app_that_raises(StaleVersion(4)))).headers["etag"] == '"4"'
    assert int((await ask(app_that_raises(psycopg.OperationalError()))).headers["retry-after"]) > 0
    assert int((await ask(app_that_raises(StoreUnavailable("full")))).headers["retry-after"]) > 0


async def test_faults_of_a_body_are_named_and_values_not_repeated() -> None:
    answer = await ask(app_that_raises(), json={"size": "wide"})
    assert answer.status_code == 422
    (wrong,) = answer.json()["errors"]
    assert wrong["where"] == "body.size"
    assert "integer" in wrong["what"]
    assert "wide" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422), (b"", 422), (b"[]", 422), (b'{"size": "\xe9"}', 400), (b"[" * 100_000, 400),
        (b'{"size": ' + b"9" * 5000 + b"}", 400), (b'{"size": NaN}', 422), (b'{"size": "\\ud800"}', 422),
    ],
    ids=lambda each: repr(each[:12]) if isinstance(each, bytes) else None,
)  # fmt: skip
async def test_invalid_json_bodies(body: bytes, status: int) -> None:
    answer = await ask(app_that_raises(), content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), answer.text


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large(declared: bool) -> None:
    async def in_blocks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    app = app_that_raises()
    answer = await ask(
        app, content=b" " * 300_000 if declared else in_blocks(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (413, MEDIA_TYPE)
    assert (answer.json()["type"], answer.json()["status"]) == (TYPE_PREFIX + "body-too-large", 413)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert (await ask(app)).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/rings", 405)])
async def test_the_frameworks_own_errors(method: str, path: str, status: int) -> None:
    answer = await ask(app_that_raises(), method, path)
    assert (answer.status_code, answer.headers["content-type"], answer.json()["status"]) == (status, MEDIA_TYPE, status)


def test_problems_are_documented() -> None:
    document = app_that_raises().openapi()
    answers = document["paths"]["/rings"]["post"]["responses"]
    assert set(answers) == {"200", "4XX", "5XX"}
    for name in ("4XX", "5XX"):
        assert answers[name]["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    assert document["components"]["schemas"]["ProblemBody"]["required"][:2] == ["type", "title"]
