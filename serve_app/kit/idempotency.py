"""POST requests that create something at most once for each Idempotency-Key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from data.kit import idempotency
from data.kit.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Created:
    """The response of a POST that created something; stored with its Idempotency-Key as plain JSON."""

    status: HTTPStatus
    body: BaseModel
    headers: Mapping[str, str]


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A repeated request with the same key and body returns the first response",
    ),
]


async def create_once(
    database: Database,
    key: str | None,
    caller_id: str,
    request: Request,
    body: Sequence[bytes],
    create: Callable[[Connection], Awaitable[Created]],
) -> Response:
    """Run ``create`` in one transaction; with a ``key`` at most once, a repeated request returns the first response.

    ``body``: what two requests must have in common to be the same. Raises KeyReused where they differ.
    """
    async with database.transaction() as connection:
        if key is None:
            return _to_response(_to_json(await create(connection)))

        async def stored() -> dict[str, Any]:
            return _to_json(await create(connection))

        same = idempotency.IdempotentRequest.of(
            caller_id, key, request.method.encode(), request.url.path.encode(), *body
        )
        answer, replayed = await idempotency.run_once(connection, same, stored)
    response = _to_response(answer)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _to_json(created: Created) -> dict[str, Any]:
    return {"status": int(created.status), "body": created.body.model_dump_json(), "headers": dict(created.headers)}


def _to_response(stored: dict[str, Any]) -> Response:
    return Response(stored["body"], stored["status"], stored["headers"], "application/json")
