"""Answers: JSON made by pydantic itself, pages of lists, versions as ETags, and POSTs that may come twice."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from data.kit import idempotency, paging
from data.kit.database import Connection, Database
from data.kit.paging import Cursors, ItemT
from serve_app.kit.problems import Problem
from serve_app.kit.ttl_cache import TtlCache

BodyT = TypeVar("BodyT", bound=BaseModel)
_ETAG = re.compile(r'\s*(?:W/)?"(\d{1,9})"\s*')


class Page(BaseModel, Generic[BodyT]):
    """A page of a list. ``next``: what ``after`` is for the page after; null on the last one."""

    items: list[BodyT]
    next: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list."""

    limit: int
    after: str | None


async def _asked(
    limit: Annotated[int, Query(ge=1, le=paging.MAX_PAGE_SIZE)] = 50,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> PageRequest:
    return PageRequest(limit, after)


PageParams = Annotated[PageRequest, Depends(_asked)]


def json_response(
    body: BaseModel, status: HTTPStatus = HTTPStatus.OK, version: int | None = None, **headers: str
) -> Response:
    """``body`` as it is, without FastAPI's second check; ``version`` becomes the ETag."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    if version is not None:
        named["ETag"] = f'"{version}"'
    return Response(body.model_dump_json(), status, named, "application/json")


async def page_response(
    request: Request,
    scope: str,
    asked: PageRequest,
    fetch: Callable[[Connection, paging.Position, int], Awaitable[Sequence[ItemT]]],
    text: Callable[[ItemT], str] = attrgetter("text"),
    kept: bool = False,
) -> Response:
    """The page ``asked`` for of the list ``scope`` (its name, its filters and whose it is); raises BadCursor.

    ``text`` makes an item's JSON; rows that are ``Shown`` have it. ``kept``: for a moment, for others who ask the same.
    """
    app = request.app.state
    cursors: Cursors = app.cursors

    async def look() -> Response:
        async with app.database.connection() as connection:
            rows = await fetch(connection, cursors.position(asked.after, scope), asked.limit)
        page = cursors.page(rows, asked.limit, scope)
        items = ",".join(map(text, page.items))
        return Response(f'{{"items":[{items}],"next":{json.dumps(page.next)}}}', media_type="application/json")

    lists: TtlCache[Response] = app.lists
    return await (lists.answer((scope, asked), look) if kept else look())


async def _if_match(if_match: Annotated[str | None, Header(max_length=100)] = None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    known = _ETAG.fullmatch(if_match)
    if known is None:
        raise Problem(HTTPStatus.PRECONDITION_FAILED, "stale-version", 'If-Match takes an ETag of ours, such as "3"')
    return int(known.group(1))


IfMatchVersion = Annotated[int | None, Depends(_if_match)]
"""The version that the caller saw, from If-Match."""


@dataclass(frozen=True, slots=True)
class Created:
    """What a POST has made: kept with its Idempotency-Key, so plain JSON."""

    status: HTTPStatus
    body: BaseModel
    headers: Mapping[str, str]


IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=200, description="The same key: the same answer"),
]


async def create_once(
    database: Database,
    key: str | None,
    caller: str,
    request: Request,
    body: Sequence[bytes],
    work: Callable[[Connection], Awaitable[Created]],
) -> Response:
    """Do ``work`` in one transaction; with a ``key`` at most once, and who asks again gets the first answer.

    ``body``: what two requests must have in common to be the same. Raises KeyReused where they differ.
    """
    async with database.transaction() as connection:
        if key is None:
            return _replayed(_kept(await work(connection)))

        async def kept() -> dict[str, Any]:
            return _kept(await work(connection))

        same = idempotency.IdempotentRequest.of(caller, key, request.method.encode(), request.url.path.encode(), *body)
        answer, again = await idempotency.run_once(connection, same, kept)
    response = _replayed(answer)
    if again:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _kept(made: Created) -> dict[str, Any]:
    return {"status": int(made.status), "body": made.body.model_dump_json(), "headers": dict(made.headers)}


def _replayed(kept: dict[str, Any]) -> Response:
    return Response(kept["body"], kept["status"], kept["headers"], "application/json")
