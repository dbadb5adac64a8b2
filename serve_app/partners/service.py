"""What partners do: place orders in one request, and manage webhooks, deliveries and API keys."""

from __future__ import annotations

import base64
import secrets
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from data.contracts.lifecycle import OrderStatus
from data.kit import idempotency
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.model_store.store import StoredModel
from data.partners import deliveries, repository
from data.partners.deliveries import AttemptRow, Delivery
from data.partners.repository import Webhook
from serve_app.kit.order_schemas import CustomerOrderRequest, OrderBody
from serve_app.kit.price_book import UNITS
from serve_app.kit.problems import Problem, not_found
from serve_app.partners.authentication import PartnerCaller
from serve_app.partners.order_client import OrderClient
from serve_app.partners.ssrf_guard import AddressRefused, SsrfGuard

MAX_WEBHOOKS = 20
"""Of one partner: each event is sent to every one of them."""


class PartnerOrderRequest(CustomerOrderRequest):
    """The form fields of a partner's order, beside the model."""

    unit: Literal[UNITS] = Field(  # type: ignore[valid-type]
        default="mm", description="Unit of the model's coordinates; 3MF, STEP and GLB files have their own"
    )


async def shop_key(database: Database, request: idempotency.IdempotentRequest | None) -> str:
    """Return the idempotency key for the shop: a new one, to which the partner's key leads from then on.

    It is stored before the shop is called, and in a transaction of its own: a retry with the partner's key continues
    with the same order, and no database connection is held while a model is transferred. Raises KeyReused.
    """
    new_key = str(new_id())
    if request is None:
        return new_key

    async def chosen() -> dict[str, Any]:
        return {"shop_key": new_key}

    async with database.transaction() as connection:
        stored, _ = await idempotency.run_once(connection, request, chosen)
    return str(stored["shop_key"])


async def place_order(
    shop: OrderClient, partner: PartnerCaller, key: str, order_request: PartnerOrderRequest, model: StoredModel
) -> OrderBody:
    """Create an order, upload its model and submit it; an order of an earlier attempt continues where that stopped."""
    order_id = await shop.create_order(partner.key, key, order_request.model_dump(mode="json", exclude={"unit"}))
    order = await shop.get_order(partner.key, order_id)
    if order.status is OrderStatus.INITIATED:
        order = await shop.put_model(partner.key, order_id, model, order_request.unit)
    if order.status is OrderStatus.FILE_UPLOADED:
        order = await shop.submit(partner.key, order_id)
    return order


async def check_url(guard: SsrfGuard, url: str) -> None:
    """Raise a 422 that states why a webhook may not lead to ``url``."""
    try:
        await guard.check(url)
    except AddressRefused as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "webhook-address", str(error)) from error


async def register_webhook(
    connection: Connection, partner_id: UUID, url: str, event_types: list[str] | None
) -> tuple[Webhook, str]:
    """Create a webhook whose URL was checked; return it and its secret. Raises a 409 above ``MAX_WEBHOOKS``."""
    if await repository.count_webhooks(connection, partner_id) >= MAX_WEBHOOKS:
        raise Problem(HTTPStatus.CONFLICT, "too-many-webhooks", f"a partner may have {MAX_WEBHOOKS} webhooks")
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    return await repository.add_webhook(connection, partner_id, url, secret, event_types), secret


async def get_webhook(database: Database, partner_id: UUID, webhook_id: UUID) -> Webhook:
    """Return a webhook of the partner; raises a 404."""
    async with database.connection() as connection:
        webhook = await repository.webhook(connection, partner_id, webhook_id)
    if webhook is None:
        raise not_found("webhook")
    return webhook


async def edit_webhook(
    database: Database,
    guard: SsrfGuard,
    webhook: Webhook,
    expected_version: int | None,
    url: str,
    event_types: list[str] | None,
    active: bool,
) -> Webhook:
    """Change a webhook; its URL is checked when it is new or when the webhook becomes active. Raises StaleVersion."""
    if url != webhook.url or (active and not webhook.active):
        await check_url(guard, url)
    types = None if event_types is None else tuple(event_types)
    version = webhook.version if expected_version is None else expected_version
    changes = {"url": url, "types": types, "active": active, "version": version}
    async with database.transaction() as connection:
        return await repository.edit_webhook(connection, webhook.model_copy(update=changes))


async def delivery_attempts(database: Database, partner_id: UUID, delivery_id: UUID) -> list[AttemptRow]:
    """Return the attempts of a partner's delivery, oldest first; raises a 404."""
    async with database.connection() as connection:
        if await deliveries.get(connection, partner_id, delivery_id) is None:
            raise not_found("delivery")
        return await deliveries.attempts(connection, delivery_id)


async def replay_delivery(database: Database, partner_id: UUID, delivery_id: UUID) -> Delivery:
    """Send a delivery again that was delivered or given up; raises a 404, and a 409 while it is pending."""
    async with database.transaction() as connection:
        replayed = await deliveries.replay(connection, partner_id, delivery_id)
        if replayed is None and await deliveries.get(connection, partner_id, delivery_id) is None:
            raise not_found("delivery")
    if replayed is None:
        raise Problem(HTTPStatus.CONFLICT, "pending", "this delivery is still being sent")
    return replayed
