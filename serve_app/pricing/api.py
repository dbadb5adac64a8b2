"""HTTP API of pricing."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import JSONResponse, Response

from data.contracts.common import Priority
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.model_store.store import ModelStore, StoredModel
from data.notifications.channels import QUOTE_WORKER_CHANNEL, QUOTES_CHANNEL, WORK_KEY
from data.notifications.pubsub import Listener, Publisher
from data.pricing import repository
from data.pricing.repository import QuoteStatus
from serve_app.kit import sse, upload
from serve_app.kit.admission import STREAMS
from serve_app.kit.app import build_service
from serve_app.kit.authentication import RequireRole
from serve_app.kit.dependencies import ChangeListener, ChangePublisher, Models, ServiceDatabase
from serve_app.kit.idempotency import Created, IdempotencyKey, create_once
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.price_book import check_order_request, offered_options
from serve_app.kit.principal import Principal, Role
from serve_app.kit.responses import json_response
from serve_app.kit.settings import settings
from serve_app.kit.sse import EventStream, LastEventId
from serve_app.pricing import service
from serve_app.pricing.service import QuoteBody, QuoteRequest, QuoteRequestByHash

routes = APIRouter(tags=["pricing"])
Caller = Annotated[Principal, Depends(RequireRole(Role.PRICING_CLIENT, Role.PARTNER))]
_MAX_WAIT_S = 60.0
_PREFER = re.compile(r"wait=(\d+(?:\.\d+)?)")


class AcceptedQuote(BaseModel):
    """A quote that was queued."""

    quote_id: UUID = Field(description="Id of the quote")
    status: QuoteStatus = Field(description="Its status, `queued`")


_JSON_SCHEMA = QuoteRequestByHash.model_json_schema()
del _JSON_SCHEMA["$defs"]  # the document has no place for definitions within a schema
_JSON_SCHEMA["properties"]["priority"] = {
    "type": "string",
    "enum": list(Priority),
    "default": Priority.STANDARD,
    "description": "How urgent pricing is",
}
_FIELDS = {
    name: dict(schema) for name, schema in _JSON_SCHEMA["properties"].items() if name in QuoteRequest.model_fields
}
_FIELDS["material"]["required"] = True
_BODIES = upload.documented(**_FIELDS)
_BODIES["requestBody"]["content"]["application/json"] = {"schema": _JSON_SCHEMA}


@routes.post(
    "/quotes",
    status_code=HTTPStatus.ACCEPTED,
    summary="Request a quote for a model",
    response_description="The quote was queued; `Location` is its address",
    response_model=AcceptedQuote,
    responses={200: {"model": QuoteBody, "description": "The finished quote, in time for `Prefer: wait=N`"}},
    openapi_extra=_BODIES,
    max_body_size=upload.UNBOUNDED,
)
async def request_quote(
    request: Request,
    database: ServiceDatabase,
    models: Models,
    listener: ChangeListener,
    publisher: ChangePublisher,
    caller: Caller,
    key: IdempotencyKey = None,
    prefer: Annotated[
        str | None,
        Header(max_length=100, description="`wait=N`: wait for at most N seconds (60 at most) for the finished quote"),
    ] = None,
) -> Response:
    """Queue the pricing of a 3D model.

    Send `multipart/form-data` with the file `model`, or JSON with the hash of a model that the caller has uploaded
    before. Follow the quote at its address, or send `Prefer: wait=N`.

    Requires the role pricing-client or partner. Problems: `not-offered` if the price book lacks the option,
    `not-found` for an unknown hash, `malformed-upload`, `model-too-large`, `slow-upload`, `key-reused` for an
    Idempotency-Key sent with another body.
    """
    started_at = time.monotonic()
    quote_request, model = await _read(request, database, models, caller)
    check_order_request(quote_request.process, quote_request.material, quote_request.finish, quote_request.quantity)

    async def create(connection: Connection) -> Created:
        quote_id = new_id()
        await service.request_quote(connection, quote_id, caller.id, model.sha256, quote_request)
        body = AcceptedQuote(quote_id=quote_id, status=QuoteStatus.QUEUED)
        return Created(HTTPStatus.ACCEPTED, body, {"Location": f"/pricing/quotes/{quote_id}"})

    body = [model.sha256.encode(), quote_request.model_dump_json().encode()]
    accepted = await create_once(database, key, caller.id, request, body, create)
    await publisher.publish([WORK_KEY])
    wait_s = min(_MAX_WAIT_S, _preferred_wait_s(prefer)) - (time.monotonic() - started_at)
    if wait_s <= 0:
        return accepted
    quote_id = AcceptedQuote.model_validate_json(bytes(accepted.body)).quote_id
    quote = await service.wait_finished(database, listener, quote_id, wait_s)
    if quote is None:
        return accepted
    applied = f"wait={_preferred_wait_s(prefer):g}"
    return json_response(service.to_body(quote), preference_applied=applied, location=f"/pricing/quotes/{quote.id}")


@routes.get(
    "/quotes",
    summary="List the caller's quotes",
    response_description="A page of quotes",
    response_model=Page[QuoteBody],
)
async def list_quotes(page: PageParams, caller: Caller) -> Response:
    """Return the quotes that the caller requested, newest first. Requires the role pricing-client or partner."""
    return await page_response(
        page,
        f"quotes {caller.id}",
        lambda connection, position, limit: repository.of_owner(connection, caller.id, position, limit),
        lambda quote: service.to_body(quote).model_dump_json(),
    )


@routes.get(
    "/quotes/{quote_id}",
    summary="Get one quote",
    response_description="The quote and its progress",
    response_model=QuoteBody,
)
async def get_quote(database: ServiceDatabase, quote_id: UUID, caller: Caller) -> Response:
    """Return a quote with its progress and the bounds of its price while it runs, and its lines when it is done.

    Requires the quote's owner. Problems: `not-found`, also for a quote of another client.
    """
    return json_response(service.to_body(await service.get_owned(database, quote_id, caller)))


@routes.get(
    "/quotes/{quote_id}/events",
    summary="Follow a quote",
    response_class=EventStream,
    responses={
        **sse.documented(QuoteBody, "Server-sent events of type `quote`, one for each change"),
        204: {"description": "The quote is finished and its last event was received: stop reconnecting"},
    },
)
async def follow_quote(
    database: ServiceDatabase, listener: ChangeListener, quote_id: UUID, caller: Caller, after: LastEventId = None
) -> Response:
    """Stream a quote as server-sent events, one for each change, beginning with its current state, until it finishes.

    Requires the quote's owner. A client that reconnects gets the current state first. Problems: `not-found`.
    """
    quote = await service.get_owned(database, quote_id, caller)
    if quote.status in service.FINISHED and after == service.FINISHED_EVENT_ID:
        return Response(status_code=HTTPStatus.NO_CONTENT)  # a browser would reconnect after any other status
    return EventStream(service.stream(database, listener, quote_id))


@routes.delete(
    "/quotes/{quote_id}",
    summary="Cancel a quote",
    response_description="The cancelled quote",
    response_model=QuoteBody,
)
async def cancel_quote(
    database: ServiceDatabase, publisher: ChangePublisher, quote_id: UUID, caller: Caller
) -> Response:
    """Cancel a quote that is queued or running; an equal one of another client continues.

    Requires the quote's owner. Problems: `not-found`, `over` if the quote is finished.
    """
    quote = await service.cancel(database, quote_id, caller)
    await publisher.publish([WORK_KEY])
    return json_response(service.to_body(quote))


@routes.get(
    "/materials",
    summary="List processes and materials",
    response_description="The offer of the price book",
)
async def get_materials() -> JSONResponse:
    """Return the processes, materials and finishes that the price book offers, with their ids. Needs no credentials."""
    return JSONResponse(offered_options())


async def _read(
    request: Request, database: Database, models: ModelStore, caller: Principal
) -> tuple[QuoteRequest, StoredModel]:
    """Return the request and its model, from either kind of body."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        uploaded = await upload.receive(request, models)
        return upload.validate_fields(QuoteRequest, uploaded.fields), uploaded.model
    try:
        by_hash = QuoteRequestByHash.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    model = await service.find_uploaded(database, models, caller.id, by_hash.model_sha256)
    return QuoteRequest.model_validate(by_hash.model_dump()), model


def _preferred_wait_s(prefer: str | None) -> float:
    match = _PREFER.search(prefer or "")
    return float(match.group(1)) if match else 0.0


async def _open(app: FastAPI, _database: Database, stack: AsyncExitStack) -> None:
    redis = settings().needed("redis_url")
    app.state.models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)
    app.state.publisher = Publisher(redis, QUOTE_WORKER_CHANNEL)
    stack.push_async_callback(app.state.publisher.close)
    app.state.listener = Listener(redis, QUOTES_CHANNEL)
    listening = asyncio.create_task(app.state.listener.run(), name="listener of quotes")
    stack.callback(listening.cancel)


def build() -> FastAPI:
    """Return the application, to be served under ``/pricing``."""
    return build_service("pricing", [routes], _open, "Quotes for 3D models, for the MES and for partners.", STREAMS)
