"""One event of every type, and how an envelope is made of it without a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from data.contracts import crm, mes, pricing, shop
from data.contracts.common import Priority, QuoteReason, QuoteSummary, Verdict
from data.contracts.envelope import EventData
from data.contracts.lifecycle import OrderStatus
from data.kit.outbox import parameters

ORDER, QUOTE = UUID("01920000-0000-7000-8000-000000000001"), UUID("01920000-0000-7000-8000-000000000002")
SHA = "ab" * 32
WISH = {"process": "casting", "material": "gold-18k-yellow", "finish": "polished", "quantity": 2}
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
OURS = {"order_id": ORDER, "by": "somebody"}
THEIRS = {"quote_id": QUOTE, "order_id": ORDER, "owner_id": "customer-1"}
REASONS = (QuoteReason(code="thin-wall", severity="error", message="0.3 mm, at least 0.8 mm is needed"),)

EVENTS: tuple[EventData, ...] = (
    shop.OrderInitiated(**OURS, owner_id="customer-1", **WISH),
    shop.ModelUploaded(**OURS, model_sha256=SHA, bytes=684, unit="mm"),
    shop.OrderSubmitted(**OURS, owner_id="customer-1", **WISH, model_sha256=SHA, unit="mm", quote_id=QUOTE),
    shop.OrderCancelled(**OURS, reason="changed my mind"),
    shop.PricingOverdue(**OURS, quote_id=QUOTE),
    shop.QuoteRequested(**THEIRS, priority=Priority.EXPRESS, **WISH, model_sha256=SHA, unit="mm"),
    shop.QuoteWithdrawn(quote_id=QUOTE, order_id=ORDER, priority=Priority.BULK),
    pricing.QuotePriced(**THEIRS, quote=SUMMARY),
    pricing.QuoteNeedsReview(**THEIRS, quote=SUMMARY, reasons=REASONS),
    pricing.QuoteRejected(**THEIRS, reasons=REASONS),
    pricing.QuoteFailed(**THEIRS, error="not a model"),
    pricing.QuoteCancelled(**THEIRS),
    crm.OrderReleased(**OURS, quote_id=QUOTE),
    crm.OrderApproved(**OURS, owner_id="customer-1", **WISH, model_sha256=SHA, unit="mm", quote=SUMMARY),
    crm.OrderRejected(**OURS, reason="no"),
    crm.OrderClosed(**OURS),
    crm.OrderWithdrawn(**OURS, reason="customer rang"),
    crm.QuoteExpired(**OURS, quote_id=QUOTE),
    crm.OrderHeld(**OURS, reason="address", held_from=OrderStatus.PRICE_CALCULATED),
    crm.OrderResumed(**OURS, held_from=OrderStatus.PRICE_CALCULATED),
    mes.ProductionStarted(**OURS),
    mes.ProductionCompleted(**OURS),
    mes.ProductionPackaged(**OURS),
    mes.ProductionShipped(**OURS, tracking="RR123"),
    mes.ReworkOrdered(**OURS, reason="porous"),
    mes.ProductionHeld(**OURS, reason="no gold", held_from=OrderStatus.PACKAGING),
    mes.ProductionResumed(**OURS, held_from=OrderStatus.PACKAGING),
)


def message(event: EventData, sequence: int = 1) -> str:
    """The message that the outbox would hold."""
    text = f'{{"sequence":{sequence}{parameters(event)["members"]}'
    assert json.loads(text)
    return text
