"""Keyset pagination of lists."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from data.kit import paging
from data.kit.database import Connection
from data.kit.paging import ItemT
from serve_app.kit.dependencies import ListCache, PageTokens, ServiceDatabase

BodyT = TypeVar("BodyT", bound=BaseModel)


class Page(BaseModel, Generic[BodyT]):
    """A page of a list."""

    items: list[BodyT] = Field(description="The items of this page")
    next: str | None = Field(description="Token of the next page, to be sent as `after`; null on the last page")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page, and what lists are read from."""

    limit: int
    after: str | None
    database: ServiceDatabase
    tokens: PageTokens
    cache: ListCache


async def _page_request(
    database: ServiceDatabase,
    tokens: PageTokens,
    cache: ListCache,
    limit: Annotated[int, Query(ge=1, le=paging.MAX_PAGE_SIZE, description="Maximum number of items")] = 50,
    after: Annotated[
        str | None, Query(max_length=200, description="The `next` token of the preceding page; omit it for the first")
    ] = None,
) -> PageRequest:
    return PageRequest(limit, after, database, tokens, cache)


PageParams = Annotated[PageRequest, Depends(_page_request)]


async def page_response(
    page: PageRequest,
    scope: str,
    fetch: Callable[[Connection, paging.Position, int], Awaitable[Sequence[ItemT]]],
    to_json: Callable[[ItemT], str] = attrgetter("text"),
    cached: bool = False,
) -> Response:
    """Return the requested page of the list ``scope`` (its name, its filters and its owner); raises BadCursor.

    ``to_json``: serializes an item; the default is for rows that are JSON already. ``cached``: share the page for a
    short time with equal requests.
    """

    async def load() -> Response:
        async with page.database.connection() as connection:
            rows = await fetch(connection, page.tokens.position(page.after, scope), page.limit)
        found = page.tokens.page(rows, page.limit, scope)
        items = ",".join(map(to_json, found.items))
        return Response(f'{{"items":[{items}],"next":{json.dumps(found.next)}}}', media_type="application/json")

    return await (page.cache.get_or_load((scope, page.limit, page.after), load) if cached else load())
