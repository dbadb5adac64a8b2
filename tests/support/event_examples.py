"""One event of every type, and its envelope without a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypedDict
from uuid import UUID

from data.contracts import crm, mes, pricing, shop
from data.contracts.common import Priority, QuoteReason, QuoteSummary, Verdict
from data.contracts.envelope import EventData
from data.contracts.lifecycle import OrderStatus
from data.kit.outbox import parameters

ORDER, QUOTE = UUID("01920000-0000-7000-8000-000000000001"), UUID("01920000-0000-7000-8000-000000000002")
SHA = "ab" * 32
STORED_EVENTS = sorted(Path(__file__).with_name("stored_events").glob("*.json"))
"""One published event of every type, as an earlier release wrote it."""


class OrderRequestFields(TypedDict):
    """The fields of an order that a customer requests."""

    process: str
    material: str
    finish: str
    quantity: int


class OrderFields(TypedDict):
    """The fields that every event of an order has."""

    order_id: UUID
    by: str


class QuoteFields(TypedDict):
    """The fields that every event of a quote has."""

    quote_id: UUID
    order_id: UUID
    owner_id: str


ORDER_REQUEST: OrderRequestFields = {
    "process": "casting", "material": "gold-18k-yellow", "finish": "polished", "quantity": 2,
}  # fmt: skip
SUMMARY = QuoteSummary(
    quote_id=QUOTE,
    unit_price=Decimal("310.05"),
    total=Decimal("620.10"),
    currency="EUR",
    expires_at=datetime(2026, 12, 1, tzinfo=UTC),
    verdict=Verdict.MANUFACTURABLE,
    lead_time_days=9,
    content_id="sha256:" + SHA,
)
ORDER_FIELDS: OrderFields = {"order_id": ORDER, "by": "tester"}
QUOTE_FIELDS: QuoteFields = {"quote_id": QUOTE, "order_id": ORDER, "owner_id": "customer-1"}
REASONS = (QuoteReason(code="thin-wall", severity="error", message="0.3 mm, at least 0.8 mm is needed"),)

EVENTS: tuple[EventData, ...] = (
    shop.OrderInitiated(**ORDER_FIELDS, owner_id="customer-1", **ORDER_REQUEST),
    shop.ModelUploaded(**ORDER_FIELDS, model_sha256=SHA, bytes=684, unit="mm"),
    shop.OrderSubmitted(
        **ORDER_FIELDS, owner_id="customer-1", **ORDER_REQUEST, model_sha256=SHA, unit="mm", quote_id=QUOTE
    ),
    shop.OrderCancelled(**ORDER_FIELDS, reason="changed my mind"),
    shop.PricingOverdue(**ORDER_FIELDS, quote_id=QUOTE),
    shop.QuoteRequested(**QUOTE_FIELDS, priority=Priority.EXPRESS, **ORDER_REQUEST, model_sha256=SHA, unit="mm"),
    shop.QuoteWithdrawn(quote_id=QUOTE, order_id=ORDER, priority=Priority.BULK),
    pricing.QuotePriced(**QUOTE_FIELDS, quote=SUMMARY),
    pricing.QuoteNeedsReview(**QUOTE_FIELDS, quote=SUMMARY, reasons=REASONS),
    pricing.QuoteRejected(**QUOTE_FIELDS, reasons=REASONS),
    pricing.QuoteFailed(**QUOTE_FIELDS, error="not a model"),
    pricing.QuoteCancelled(**QUOTE_FIELDS),
    crm.OrderReleased(**ORDER_FIELDS, quote_id=QUOTE),
    crm.OrderApproved(
        **ORDER_FIELDS, owner_id="customer-1", **ORDER_REQUEST, model_sha256=SHA, unit="mm", quote=SUMMARY
    ),
    crm.OrderRejected(**ORDER_FIELDS, reason="no"),
    crm.OrderClosed(**ORDER_FIELDS),
    crm.OrderWithdrawn(**ORDER_FIELDS, reason="customer rang"),
    crm.QuoteExpired(**ORDER_FIELDS, quote_id=QUOTE),
    crm.OrderHeld(**ORDER_FIELDS, reason="address", held_from=OrderStatus.PRICE_CALCULATED),
    crm.OrderResumed(**ORDER_FIELDS, held_from=OrderStatus.PRICE_CALCULATED),
    mes.ProductionStarted(**ORDER_FIELDS),
    mes.ProductionCompleted(**ORDER_FIELDS),
    mes.ProductionPackaged(**ORDER_FIELDS),
    mes.ProductionShipped(**ORDER_FIELDS, tracking="RR123"),
    mes.ReworkOrdered(**ORDER_FIELDS, reason="porous"),
    mes.ProductionHeld(**ORDER_FIELDS, reason="no gold", held_from=OrderStatus.PACKAGING),
    mes.ProductionResumed(**ORDER_FIELDS, held_from=OrderStatus.PACKAGING),
)


def message(event: EventData, sequence: int = 1) -> str:
    """Return the message as the outbox stores it."""
    text = f'{{"sequence":{sequence}{parameters(event)["members"]}'
    assert json.loads(text)
    return text


def message_bytes(event: EventData, sequence: int = 1) -> bytes:
    """Return the message as the relay publishes it."""
    return message(event, sequence).encode()
