"""HTTP API of a partner's webhooks and their deliveries."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.kit.database import Connection
from data.partners import deliveries, repository
from data.partners.deliveries import Delivery, DeliveryState
from data.partners.repository import Webhook
from serve_app.kit.dependencies import ServiceDatabase, from_state
from serve_app.kit.idempotency import Created, IdempotencyKey, create_once
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.problems import not_found
from serve_app.kit.responses import IfMatchVersion, json_response
from serve_app.partners import service
from serve_app.partners.authentication import Partner
from serve_app.partners.handlers import EVENT_TYPES
from serve_app.partners.ssrf_guard import SsrfGuard

routes = APIRouter(tags=["webhooks"])
Guard = Annotated[SsrfGuard, Depends(from_state("ssrf_guard"))]
EventTypes = Annotated[
    list[Literal[EVENT_TYPES]],  # type: ignore[valid-type]
    Field(min_length=1, max_length=len(EVENT_TYPES)),
]
_WEBHOOK = "The webhook; its version is the `ETag`"


class NewWebhook(BaseModel):
    """A webhook to register."""

    url: str = Field(max_length=2000, description="HTTPS URL on the internet that messages are sent to by POST")
    types: EventTypes | None = Field(default=None, description="The types of events to send; null for all")


class EditedWebhook(NewWebhook):
    """A webhook to change."""

    active: bool = Field(default=True, description="Whether messages are sent; otherwise they wait until it is active")


class WebhookBody(BaseModel):
    """A webhook."""

    webhook_id: UUID = Field(description="Id of the webhook")
    url: str = Field(description="URL that messages are sent to")
    types: list[str] | None = Field(description="The types of events that are sent; null for all")
    active: bool = Field(description="Whether messages are sent; a response 410 deactivates a webhook")
    created_at: AwareDatetime = Field(description="When the webhook was registered")


class WebhookWithSecret(WebhookBody):
    """A new webhook."""

    secret: str = Field(description="Secret to verify signatures with; it is returned only this once")


class DeliveryBody(BaseModel):
    """The delivery of an event to a webhook."""

    delivery_id: UUID = Field(description="Id of the delivery")
    webhook_id: UUID = Field(description="Id of the webhook")
    event_id: UUID = Field(description="Id of the event: the header `webhook-id`, the same in all attempts")
    order_id: UUID = Field(description="Id of the order that the event is about")
    type: str = Field(description="Type of the event")
    state: DeliveryState = Field(description="`pending`, `delivered`, or `failed` after the last attempt")
    attempts: int = Field(description="Number of attempts so far")
    next_attempt_at: AwareDatetime | None = Field(description="When the next attempt is due; null if none is")
    ended_at: AwareDatetime | None = Field(description="When it was delivered or given up; null while it is pending")
    created_at: AwareDatetime = Field(description="When the delivery was created")


class DeliveryAttempt(BaseModel):
    """An attempt to send a delivery."""

    n: int = Field(description="Number of the attempt, from 1")
    at: AwareDatetime = Field(description="When it was made")
    answer: int | None = Field(description="HTTP status of the response; null without a response")
    error: str | None = Field(description="Why it failed; null if the delivery arrived")
    took_ms: int = Field(description="Duration in milliseconds")


@routes.post(
    "/v1/webhooks",
    status_code=HTTPStatus.CREATED,
    summary="Register a webhook",
    response_description="The new webhook with its secret; its version is the `ETag`",
    response_model=WebhookWithSecret,
)
async def register_webhook(
    request: Request,
    database: ServiceDatabase,
    guard: Guard,
    body: NewWebhook,
    caller: Partner,
    key: IdempotencyKey = None,
) -> Response:
    """Have messages about the partner's orders sent to a URL, signed after the Standard Webhooks specification.

    Requires an API key. A message that fails is sent again for three days. Problems: `webhook-address` if the URL does
    not lead to the internet by HTTPS, `too-many-webhooks`, `key-reused` for an Idempotency-Key sent with another body.
    """
    await service.check_url(guard, body.url)

    async def create(connection: Connection) -> Created:
        webhook, secret = await service.register_webhook(connection, caller.partner_id, body.url, body.types)
        headers = {"Location": f"/partners/v1/webhooks/{webhook.id}", "ETag": f'"{webhook.version}"'}
        created = WebhookWithSecret(secret=secret, **_to_body(webhook).model_dump())
        return Created(HTTPStatus.CREATED, created, {**headers, "Cache-Control": "no-store"})

    return await create_once(database, key, str(caller.partner_id), request, [body.model_dump_json().encode()], create)


@routes.get(
    "/v1/webhooks",
    summary="List the partner's webhooks",
    response_description="All webhooks on one page",
    response_model=Page[WebhookBody],
)
async def list_webhooks(database: ServiceDatabase, caller: Partner) -> Response:
    """Return all webhooks of the partner, oldest first, without their secrets. Requires an API key."""
    async with database.connection() as connection:
        webhooks = await repository.webhooks(connection, caller.partner_id)
    return json_response(Page[WebhookBody](items=[_to_body(webhook) for webhook in webhooks], next=None))


@routes.get(
    "/v1/webhooks/{webhook_id}",
    summary="Get one webhook",
    response_description=_WEBHOOK,
    response_model=WebhookBody,
)
async def get_webhook(database: ServiceDatabase, webhook_id: UUID, caller: Partner) -> Response:
    """Return a webhook of the partner, without its secret. Requires an API key. Problems: `not-found`."""
    webhook = await service.get_webhook(database, caller.partner_id, webhook_id)
    return json_response(_to_body(webhook), version=webhook.version)


@routes.put(
    "/v1/webhooks/{webhook_id}",
    summary="Edit a webhook",
    response_description=_WEBHOOK,
    response_model=WebhookBody,
)
async def edit_webhook(
    database: ServiceDatabase,
    guard: Guard,
    webhook_id: UUID,
    body: EditedWebhook,
    caller: Partner,
    expected_version: IfMatchVersion,
) -> Response:
    """Replace the URL, the types of events and the active state of a webhook; its secret stays.

    Requires an API key. Messages of the time when it was not active are sent when it becomes active. Problems:
    `not-found`, `webhook-address`, `stale-version` if `If-Match` names an older version.
    """
    webhook = await service.get_webhook(database, caller.partner_id, webhook_id)
    edited = await service.edit_webhook(database, guard, webhook, expected_version, body.url, body.types, body.active)
    return json_response(_to_body(edited), version=edited.version)


@routes.delete(
    "/v1/webhooks/{webhook_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete a webhook",
    response_description="The webhook is deleted",
)
async def delete_webhook(
    database: ServiceDatabase, webhook_id: UUID, caller: Partner, expected_version: IfMatchVersion
) -> Response:
    """Delete a webhook with its deliveries, including pending ones.

    Requires an API key. Problems: `not-found`, `stale-version` if `If-Match` names an older version.
    """
    async with database.transaction() as connection:
        if not await repository.remove_webhook(connection, caller.partner_id, webhook_id, expected_version):
            raise not_found("webhook")
    return Response(status_code=HTTPStatus.NO_CONTENT)


@routes.get(
    "/v1/webhooks/{webhook_id}/deliveries",
    summary="List deliveries of a webhook",
    response_description="A page of deliveries",
    response_model=Page[DeliveryBody],
)
async def list_deliveries(database: ServiceDatabase, webhook_id: UUID, page: PageParams, caller: Partner) -> Response:
    """Return what was sent to a webhook and what is pending, newest first.

    Requires an API key. Problems: `not-found` for an unknown webhook.
    """
    await service.get_webhook(database, caller.partner_id, webhook_id)
    return await page_response(
        page,
        f"deliveries {webhook_id}",
        lambda connection, position, limit: deliveries.of_webhook(connection, webhook_id, position, limit),
        lambda delivery: _to_delivery(delivery).model_dump_json(),
    )


@routes.get(
    "/v1/deliveries/{delivery_id}/attempts",
    summary="List attempts of a delivery",
    response_description="All attempts on one page",
    response_model=Page[DeliveryAttempt],
)
async def list_attempts(database: ServiceDatabase, delivery_id: UUID, caller: Partner) -> Response:
    """Return every attempt to send a delivery with its outcome, oldest first.

    Requires an API key. Problems: `not-found`, also for a delivery of another partner.
    """
    attempts = await service.delivery_attempts(database, caller.partner_id, delivery_id)
    items = [DeliveryAttempt(**attempt.model_dump()) for attempt in attempts]
    return json_response(Page[DeliveryAttempt](items=items, next=None))


@routes.post(
    "/v1/deliveries/{delivery_id}/replay",
    summary="Send a delivery again",
    response_description="The delivery, which is pending again",
    response_model=DeliveryBody,
)
async def replay_delivery(database: ServiceDatabase, delivery_id: UUID, caller: Partner) -> Response:
    """Send a message again that was delivered or given up, with the same `webhook-id` and a new series of attempts.

    Requires an API key. Problems: `not-found`, `pending` while it is still being sent.
    """
    return json_response(_to_delivery(await service.replay_delivery(database, caller.partner_id, delivery_id)))


def _to_body(webhook: Webhook) -> WebhookBody:
    types = None if webhook.types is None else list(webhook.types)
    return WebhookBody(webhook_id=webhook.id, types=types, **webhook.model_dump(exclude={"id", "types"}))


def _to_delivery(delivery: Delivery) -> DeliveryBody:
    return DeliveryBody(delivery_id=delivery.id, **delivery.model_dump(exclude={"id"}))
