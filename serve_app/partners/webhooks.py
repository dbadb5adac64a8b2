"""A partner's webhooks, and what was delivered to them."""

from __future__ import annotations

import base64
import secrets
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.kit.database import Connection
from data.partners import deliveries, repository
from data.partners.deliveries import Attempt, Delivery, DeliveryState
from data.partners.repository import Webhook
from serve_app.kit.answers import (
    Created,
    IdempotencyKey,
    IfMatchVersion,
    Page,
    PageParams,
    create_once,
    json_response,
    page_response,
)
from serve_app.kit.app import database, state
from serve_app.kit.problems import Problem, not_found
from serve_app.partners.authentication import Partner
from serve_app.partners.handlers import TYPES
from serve_app.partners.ssrf_guard import AddressRefused, SsrfGuard

routes = APIRouter(tags=["webhooks"])
MOST_WEBHOOKS = 20
"""Of one partner: each event is sent to every one of them."""
Types = Annotated[
    list[Literal[TYPES]],  # type: ignore[valid-type]
    Field(min_length=1, max_length=len(TYPES), description="The events to be told of; null: all of them"),
]


class NewWebhook(BaseModel):
    """Where a partner wants to be told, and of what."""

    url: str = Field(max_length=2000)
    types: Types | None = None


class EditedWebhook(NewWebhook):
    """The same later. What happened while it was not active is sent when it is again."""

    active: bool = True


class WebhookBody(BaseModel):
    """A webhook."""

    webhook_id: UUID
    url: str
    types: list[str] | None
    active: bool
    created_at: AwareDatetime


class WebhookWithSecret(WebhookBody):
    """A new webhook. ``secret``: to check signatures with, shown this once."""

    secret: str


class DeliveryBody(BaseModel):
    """An event on its way to a webhook. ``event_id``: the header ``webhook-id``, the same in all attempts."""

    delivery_id: UUID
    webhook_id: UUID
    event_id: UUID
    order_id: UUID
    type: str
    state: DeliveryState
    attempts: int
    next_attempt_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    created_at: AwareDatetime


@routes.post("/v1/webhooks", status_code=HTTPStatus.CREATED, response_model=WebhookWithSecret)
async def register(request: Request, new: NewWebhook, who: Partner, key: IdempotencyKey = None) -> Response:
    """A new webhook; its secret is shown in this answer alone."""
    await _check(request, new.url)

    async def work(connection: Connection) -> Created:
        if await repository.count_webhooks(connection, who.partner_id) >= MOST_WEBHOOKS:
            raise Problem(HTTPStatus.CONFLICT, "too-many-webhooks", f"a partner may have {MOST_WEBHOOKS} webhooks")
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        made = await repository.add_webhook(connection, who.partner_id, new.url, secret, new.types)
        headers = {"Location": f"/partners/v1/webhooks/{made.id}", "ETag": f'"{made.version}"'}
        body = WebhookWithSecret(secret=secret, **_to_body(made).model_dump())
        return Created(HTTPStatus.CREATED, body, {**headers, "Cache-Control": "no-store"})

    same = [new.model_dump_json().encode()]
    return await create_once(database(request), key, str(who.partner_id), request, same, work)


@routes.get("/v1/webhooks", response_model=Page[WebhookBody])
async def webhooks(request: Request, who: Partner) -> Response:
    """One's own webhooks, oldest first, all on one page."""
    async with database(request).connection() as connection:
        found = await repository.webhooks(connection, who.partner_id)
    return json_response(Page[WebhookBody](items=[_to_body(each) for each in found], next=None))


@routes.get("/v1/webhooks/{webhook_id}", response_model=WebhookBody)
async def webhook(request: Request, webhook_id: UUID, who: Partner) -> Response:
    """A webhook; its version is the ETag."""
    found = await _mine(request, webhook_id, who)
    return json_response(_to_body(found), version=found.version)


@routes.put("/v1/webhooks/{webhook_id}", response_model=WebhookBody)
async def edit(
    request: Request, webhook_id: UUID, edited: EditedWebhook, who: Partner, seen: IfMatchVersion
) -> Response:
    """Change a webhook; with If-Match, unless somebody else has meanwhile. Its secret stays."""
    known = await _mine(request, webhook_id, who)
    if edited.url != known.url or (edited.active and not known.active):
        await _check(request, edited.url)
    types = None if edited.types is None else tuple(edited.types)
    changes = {"url": edited.url, "types": types, "active": edited.active}
    version = known.version if seen is None else seen
    async with database(request).transaction() as connection:
        saved = await repository.edit_webhook(connection, known.model_copy(update={**changes, "version": version}))
    return json_response(_to_body(saved), version=saved.version)


@routes.delete("/v1/webhooks/{webhook_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove(request: Request, webhook_id: UUID, who: Partner, seen: IfMatchVersion) -> Response:
    """Forget a webhook with its deliveries, those under way too."""
    async with database(request).transaction() as connection:
        if not await repository.remove_webhook(connection, who.partner_id, webhook_id, seen):
            raise not_found("webhook")
    return Response(status_code=HTTPStatus.NO_CONTENT)


@routes.get("/v1/webhooks/{webhook_id}/deliveries", response_model=Page[DeliveryBody])
async def sent(request: Request, webhook_id: UUID, asked: PageParams, who: Partner) -> Response:
    """What was and is to be sent to a webhook, newest first."""
    await _mine(request, webhook_id, who)
    return await page_response(
        request,
        f"deliveries {webhook_id}",
        asked,
        lambda connection, place, limit: deliveries.of_webhook(connection, webhook_id, place, limit),
        lambda delivery: _delivery_to_body(delivery).model_dump_json(),
    )


@routes.get("/v1/deliveries/{delivery_id}/attempts", response_model=Page[Attempt])
async def attempts(request: Request, delivery_id: UUID, who: Partner) -> Response:
    """How often a delivery was tried and what came of it, oldest first, all on one page."""
    async with database(request).connection() as connection:
        if await deliveries.get(connection, who.partner_id, delivery_id) is None:
            raise not_found("delivery")
        tried = await deliveries.attempts(connection, delivery_id)
    return json_response(Page[Attempt](items=tried, next=None))


@routes.post("/v1/deliveries/{delivery_id}/replay", response_model=DeliveryBody)
async def replay(request: Request, delivery_id: UUID, who: Partner) -> Response:
    """Send once more what has arrived or was given up; it bears the same `webhook-id`."""
    async with database(request).transaction() as connection:
        again = await deliveries.replay(connection, who.partner_id, delivery_id)
        known = again or await deliveries.get(connection, who.partner_id, delivery_id)
    if known is None:
        raise not_found("delivery")
    if again is None:
        raise Problem(HTTPStatus.CONFLICT, "pending", "this delivery is still being sent")
    return json_response(_delivery_to_body(again))


async def _check(request: Request, url: str) -> None:
    guard: SsrfGuard = state(request, "guard")
    try:
        await guard.check(url)
    except AddressRefused as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "webhook-address", str(error)) from error


async def _mine(request: Request, ident: UUID, who: Partner) -> Webhook:
    async with database(request).connection() as connection:
        found = await repository.webhook(connection, who.partner_id, ident)
    if found is None:
        raise not_found("webhook")
    return found


def _to_body(webhook: Webhook) -> WebhookBody:
    types = None if webhook.types is None else list(webhook.types)
    return WebhookBody(webhook_id=webhook.id, types=types, **webhook.model_dump(exclude={"id", "types"}))


def _delivery_to_body(delivery: Delivery) -> DeliveryBody:
    return DeliveryBody(delivery_id=delivery.id, **delivery.model_dump(exclude={"id"}))
