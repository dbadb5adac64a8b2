"""What clients do with quotes: request, follow and cancel them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from data.contracts.common import Money, Sha256
from data.contracts.shop import QuoteRequested
from data.kit import outbox
from data.kit.database import Connection, Database
from data.model_store.store import ModelStore, StoredModel
from data.notifications.pubsub import POLL_INTERVAL_S, Listener
from data.pricing import repository
from data.pricing.repository import QuoteRow, QuoteStatus
from serve_app.kit import sse
from serve_app.kit.order_schemas import OrderRequestBody
from serve_app.kit.price_book import UNITS
from serve_app.kit.principal import Principal
from serve_app.kit.problems import Problem, not_found
from serve_app.kit.sse import KeepAlive
from serve_app.pricing.outcomes import cancelled

FINISHED = frozenset({QuoteStatus.DONE, QuoteStatus.REVIEW, QuoteStatus.FAILED, QuoteStatus.CANCELLED})
CHANGED_EVENT_ID, FINISHED_EVENT_ID = 1, 2
"""Ids of events: a client that reconnects sends the last one."""
_RECONNECTING_INTERVAL_S = 0.1
"""Poll interval while Redis is down."""


class ModelUnit(BaseModel):
    """The unit of a model."""

    unit: Literal[UNITS] = Field(  # type: ignore[valid-type]
        default="mm", description="Unit of the model's coordinates; 3MF, STEP and GLB files have their own"
    )


class QuoteRequest(OrderRequestBody, ModelUnit):
    """A request for a quote."""


class QuoteRequestByHash(QuoteRequest):
    """A request for a quote of a model that the caller has uploaded before."""

    model_sha256: Sha256 = Field(description="SHA-256 of the model's file, as lower-case hexadecimal digits")


class PriceInterval(BaseModel):
    """Bounds of the total while the model is being measured."""

    low: Money = Field(description="Lower bound of the total")
    high: Money = Field(description="Upper bound of the total")


class QuoteBody(BaseModel):
    """A quote and the state of its calculation."""

    quote_id: UUID = Field(description="Id of the quote")
    status: QuoteStatus = Field(description="`queued`, `running`, `done`, `review`, `failed` or `cancelled`")
    progress: float = Field(description="Share of the work that is done, from 0 to 1")
    interval: PriceInterval | None = Field(description="Bounds of the total while it runs; null if none are known")
    currency: str | None = Field(description="Currency of the amounts (ISO 4217)")
    quote: dict[str, Any] | None = Field(description="The quote as `facet quote --json` prints it; null until done")
    error: str | None = Field(description="Code and message of the failure, if it failed")
    expires_at: AwareDatetime | None = Field(description="Until when the price is valid")
    created_at: AwareDatetime = Field(description="When the quote was requested")


def to_body(quote: QuoteRow) -> QuoteBody:
    """Return a quote as a response body."""
    interval = None
    if quote.status not in FINISHED and quote.interval_low is not None and quote.interval_high is not None:
        interval = PriceInterval(low=quote.interval_low, high=quote.interval_high)
    fields = quote.model_dump(exclude={"id", "result"})
    return QuoteBody(quote_id=quote.id, interval=interval, quote=quote.result, **fields)


async def find_uploaded(database: Database, models: ModelStore, owner_id: str, sha256: str) -> StoredModel:
    """Return a model that the owner has uploaded before; raises a 404."""
    async with database.connection() as connection:
        uploaded = await repository.has_model(connection, owner_id, sha256)
    model = await models.find(sha256) if uploaded else None
    if model is None:
        raise not_found("model")
    return model


async def request_quote(
    connection: Connection, quote_id: UUID, owner_id: str, model_sha256: str, request: QuoteRequest
) -> None:
    """Queue a quote."""
    fields = request.model_dump()
    await repository.create(
        connection, QuoteRequested(quote_id=quote_id, owner_id=owner_id, model_sha256=model_sha256, **fields)
    )


async def get_owned(database: Database, quote_id: UUID, principal: Principal) -> QuoteRow:
    """Return a quote of the caller; raises a 404."""
    async with database.connection() as connection:
        quote = await repository.get(connection, quote_id)
    if quote is None or not principal.owns(quote.owner_id):
        raise not_found("quote")
    return quote


async def cancel(database: Database, quote_id: UUID, principal: Principal) -> QuoteRow:
    """Cancel a quote of the caller, or return it if it is cancelled; raises a 404, and a 409 if it is finished."""
    await get_owned(database, quote_id, principal)
    async with database.transaction() as connection:
        quote = await repository.finish(connection, quote_id, QuoteStatus.CANCELLED)
        if quote is not None:
            await outbox.append(connection, cancelled().event(quote))
            return quote
    quote = await get_owned(database, quote_id, principal)
    if quote.status is not QuoteStatus.CANCELLED:
        raise Problem(HTTPStatus.CONFLICT, "over", f"the quote is {quote.status}: there is nothing to cancel")
    return quote


async def wait_finished(database: Database, listener: Listener, quote_id: UUID, timeout_s: float) -> QuoteRow | None:
    """Return the quote when it is finished; None if that takes longer than ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    with listener.subscribe(str(quote_id)) as subscription:
        while True:
            async with database.connection() as connection:
                quote = await repository.get(connection, quote_id)
            if quote is not None and quote.status in FINISHED:
                return quote
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return None
            await subscription.wait(min(remaining_s, _poll_interval_s(listener)))


async def stream(database: Database, listener: Listener, quote_id: UUID) -> AsyncIterator[bytes | None]:
    """Yield the quote as an event whenever it has changed, until it is finished; None when a comment is due."""
    sent = ""
    with listener.subscribe(str(quote_id)) as subscription:
        keep_alive = KeepAlive(subscription)
        while True:
            async with database.connection() as connection:
                quote = await repository.get(connection, quote_id)
            if quote is None:
                return
            body = to_body(quote)
            finished = quote.status in FINISHED
            if body.model_dump_json() != sent:
                sent = body.model_dump_json()
                yield sse.event(FINISHED_EVENT_ID if finished else CHANGED_EVENT_ID, "quote", body)
            if finished:
                return
            if await keep_alive.wait(_poll_interval_s(listener)):
                yield None


def _poll_interval_s(listener: Listener) -> float:
    return POLL_INTERVAL_S if listener.connected else _RECONNECTING_INTERVAL_S
