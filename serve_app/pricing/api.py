"""Pricing over HTTP: for the MES, and for partners."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from starlette.responses import JSONResponse, Response

from data.contracts.common import Money, Priority, Sha256
from data.contracts.shop import QuoteRequested
from data.kit import outbox
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.model_store.store import ModelStore, StoredModel
from data.notifications.channels import QUOTE_WORKER_CHANNEL, QUOTES_CHANNEL, WORK_KEY
from data.notifications.pubsub import Listener, Publisher
from data.pricing import repository
from data.pricing.repository import QuoteRow, QuoteStatus
from serve_app.kit import sse, upload
from serve_app.kit.admission import STREAMS
from serve_app.kit.answers import Created, IdempotencyKey, Page, PageParams, create_once, json_response, page_response
from serve_app.kit.app import build_service, database, state
from serve_app.kit.authentication import RequireRole
from serve_app.kit.price_book import UNITS, check_order_request, offered_options
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import Problem, not_found
from serve_app.kit.settings import settings
from serve_app.kit.sse import EventStream, KeepAlive, LastEventId
from serve_app.pricing.outcomes import cancelled

routes = APIRouter(tags=["pricing"])
Caller = Annotated[Principal, Depends(RequireRole(Role.PRICING_CLIENT, Role.PARTNER))]
_OVER = frozenset({QuoteStatus.DONE, QuoteStatus.REVIEW, QuoteStatus.FAILED, QuoteStatus.CANCELLED})
_TOLD_A_CHANGE, _TOLD_ITS_END = 1, 2
"""Ids of events: what a browser that comes again was told last."""
_LONGEST_WAIT_S = 60.0
_PREFER = re.compile(r"wait=(\d+(?:\.\d+)?)")


class QuoteRequest(BaseModel):
    """What is to be priced."""

    unit: Literal[UNITS] = "mm"  # type: ignore[valid-type]
    process: str = Field(default="casting", max_length=100)
    material: str = Field(max_length=100)
    finish: str | None = Field(default=None, max_length=100)
    quantity: int = Field(default=1, ge=1, le=1_000_000)
    priority: Priority = Priority.STANDARD


class QuoteRequestByHash(QuoteRequest):
    """The same of a model that the caller has sent before."""

    model_sha256: Sha256


class PriceInterval(BaseModel):
    """Where the total lies while the model is being measured."""

    low: Money
    high: Money


class QuoteBody(BaseModel):
    """A quote that somebody asked for. ``quote``: as `facet quote --json` prints it, when it is done."""

    quote_id: UUID
    status: QuoteStatus
    progress: float
    interval: PriceInterval | None
    currency: str | None
    quote: dict[str, Any] | None
    error: str | None
    expires_at: AwareDatetime | None
    created_at: AwareDatetime


class Accepted(BaseModel):
    """A quote that has been taken up."""

    quote_id: UUID
    status: QuoteStatus


_AGAIN = QuoteRequestByHash.model_json_schema()
del _AGAIN["$defs"]  # the document has no place for definitions within a schema
_AGAIN["properties"]["priority"] = {"type": "string", "enum": list(Priority), "default": Priority.STANDARD}
_FIELDS = {name: dict(schema) for name, schema in _AGAIN["properties"].items() if name in QuoteRequest.model_fields}
_FIELDS["material"]["required"] = True
_BODIES = upload.documented(**_FIELDS)
_BODIES["requestBody"]["content"]["application/json"] = {"schema": _AGAIN}


@routes.post(
    "/quotes",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses={200: {"model": QuoteBody}},
    openapi_extra=_BODIES,
    max_body_size=upload.UNBOUNDED,
)
async def ask(
    request: Request,
    who: Caller,
    key: IdempotencyKey = None,
    prefer: Annotated[str | None, Header(max_length=100, description="wait=N: answer when it is done")] = None,
) -> Response:
    """Ask for a price: multipart with the file `model`, or JSON with the hash of a model sent before."""
    began = time.monotonic()
    wanted, model = await _wanted(request, who)
    check_order_request(wanted.process, wanted.material, wanted.finish, wanted.quantity)

    async def work(connection: Connection) -> Created:
        ident = new_id()
        asked = QuoteRequested(quote_id=ident, owner_id=who.id, model_sha256=model.sha256, **wanted.model_dump())
        await repository.create(connection, asked)
        body = Accepted(quote_id=ident, status=QuoteStatus.QUEUED)
        return Created(HTTPStatus.ACCEPTED, body, {"Location": f"/pricing/quotes/{ident}"})

    same = [model.sha256.encode(), wanted.model_dump_json().encode()]
    accepted = await create_once(database(request), key, who.id, request, same, work)
    await state(request, "desk").publish([WORK_KEY])
    wait_s = min(_LONGEST_WAIT_S, _preferred_wait(prefer)) - (time.monotonic() - began)
    if wait_s <= 0:
        return accepted
    quote = await _done(request, Accepted.model_validate_json(bytes(accepted.body)).quote_id, wait_s)
    if quote is None:
        return accepted
    applied = f"wait={_preferred_wait(prefer):g}"
    return json_response(_to_body(quote), preference_applied=applied, location=f"/pricing/quotes/{quote.id}")


@routes.get("/quotes", response_model=Page[QuoteBody])
async def quotes(request: Request, asked: PageParams, who: Caller) -> Response:
    """One's own quotes, newest first."""
    return await page_response(
        request,
        f"quotes {who.id}",
        asked,
        lambda connection, place, limit: repository.of_owner(connection, who.id, place, limit),
        lambda quote: _to_body(quote).model_dump_json(),
    )


@routes.get("/quotes/{quote_id}", response_model=QuoteBody)
async def quote(request: Request, quote_id: UUID, who: Caller) -> Response:
    """How far a quote is, and the quote itself when it is done."""
    return json_response(_to_body(await _mine(request, quote_id, who)))


@routes.get(
    "/quotes/{quote_id}/events",
    response_class=EventStream,
    responses={**sse.documented(QuoteBody), 204: {"description": "The quote is over, and that was told"}},
)
async def events(request: Request, quote_id: UUID, who: Caller, after: LastEventId = None) -> Response:
    """The same as it changes, until it is over; who comes again is told how it is now."""
    found = await _mine(request, quote_id, who)
    if found.status in _OVER and after == _TOLD_ITS_END:
        return Response(status_code=HTTPStatus.NO_CONTENT)  # a browser comes again after any other end
    return EventStream(_changes(request, quote_id))


@routes.delete("/quotes/{quote_id}", response_model=QuoteBody)
async def withdraw(request: Request, quote_id: UUID, who: Caller) -> Response:
    """Cancel it; an equal one that others wait for goes on."""
    await _mine(request, quote_id, who)
    async with database(request).transaction() as connection:
        ended = await repository.finish(connection, quote_id, QuoteStatus.CANCELLED)
        if ended is not None:
            await outbox.append(connection, cancelled().event(ended))
    if ended is None:
        ended = await _mine(request, quote_id, who)
        if ended.status is not QuoteStatus.CANCELLED:
            raise Problem(HTTPStatus.CONFLICT, "over", f"the quote is {ended.status}: there is nothing to cancel")
    await state(request, "desk").publish([WORK_KEY])
    return json_response(_to_body(ended))


@routes.get("/materials")
async def materials() -> JSONResponse:
    """What the price book offers."""
    return JSONResponse(offered_options())


async def _wanted(request: Request, who: Principal) -> tuple[QuoteRequest, StoredModel]:
    if not request.headers.get("content-type", "").startswith("application/json"):
        came = await upload.receive(request, _models(request))
        return upload.checked(QuoteRequest, came.fields), came.model
    try:
        again = QuoteRequestByHash.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    async with database(request).connection() as connection:
        known = await repository.has_model(connection, who.id, again.model_sha256)
    model = await _models(request).find(again.model_sha256) if known else None
    if model is None:
        raise not_found("model")
    return QuoteRequest.model_validate(again.model_dump()), model


def _preferred_wait(prefer: str | None) -> float:
    found = _PREFER.search(prefer or "")
    return float(found.group(1)) if found else 0.0


async def _done(request: Request, ident: UUID, wait_s: float) -> QuoteRow | None:
    """The quote when it is over; None where that takes longer than ``wait_s``."""
    news: Listener = state(request, "news")
    deadline = time.monotonic() + wait_s
    with news.subscribe(str(ident)) as subscription:
        while True:
            async with database(request).connection() as connection:
                quote = await repository.get(connection, ident)
            if quote is not None and quote.status in _OVER:
                return quote
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            await subscription.wait(min(left, 1.0 if news.connected else 0.1))


async def _changes(request: Request, ident: UUID) -> AsyncIterator[str | None]:
    news: Listener = state(request, "news")
    said = ""
    with news.subscribe(str(ident)) as subscription:
        patience = KeepAlive(subscription)
        while True:
            async with database(request).connection() as connection:
                quote = await repository.get(connection, ident)
            if quote is None:
                return
            body = _to_body(quote)
            if body.model_dump_json() != said:
                said = body.model_dump_json()
                yield sse.event(_TOLD_ITS_END if quote.status in _OVER else _TOLD_A_CHANGE, "quote", body)
            if quote.status in _OVER:
                return
            if await patience.wait(1.0 if news.connected else 0.1):
                yield None


async def _mine(request: Request, ident: UUID, who: Principal) -> QuoteRow:
    async with database(request).connection() as connection:
        found = await repository.get(connection, ident)
    if found is None or not who.owns(found.owner_id):
        raise not_found("quote")
    return found


def _to_body(quote: QuoteRow) -> QuoteBody:
    running = quote.status not in _OVER and quote.interval_low is not None and quote.interval_high is not None
    between = PriceInterval(low=quote.interval_low, high=quote.interval_high) if running else None  # type: ignore[arg-type]
    told = quote.model_dump(exclude={"id", "result"})
    return QuoteBody(quote_id=quote.id, interval=between, quote=quote.result, **told)


def _models(request: Request) -> ModelStore:
    return state(request, "models")  # type: ignore[no-any-return]


async def _open(app: FastAPI, _database: Database, stack: AsyncExitStack) -> None:
    redis = settings().needed("redis_url")
    app.state.models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)
    app.state.desk = Publisher(redis, QUOTE_WORKER_CHANNEL)
    stack.push_async_callback(app.state.desk.close)
    app.state.news = Listener(redis, QUOTES_CHANNEL)
    listening = asyncio.create_task(app.state.news.run(), name="quotes' news")
    stack.callback(listening.cancel)


def build() -> FastAPI:
    """The application, to be served under ``/pricing``."""
    return build_service("pricing", [routes], _open, "Quotes for models: for the MES, and for partners.", STREAMS)
