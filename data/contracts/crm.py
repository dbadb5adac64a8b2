"""What the CRM says: a seller's decisions, and quotes that ran out."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from data.contracts.common import OrderEvent, OrderRequest, QuoteSummary, Sha256
from data.contracts.lifecycle import OrderStatus


class CrmEvent(OrderEvent):
    """Of the CRM, about an order."""

    SOURCE: ClassVar[str] = "/facet/crm"
    TOPIC: ClassVar[str] = "crm.orders.v1"


class OrderReleased(CrmEvent):
    """Reviewed: the price holds."""

    quote_id: UUID


class OrderApproved(CrmEvent, OrderRequest):
    """To be made: with all that the MES needs to make it."""

    owner_id: str
    model_sha256: Sha256
    unit: str
    quote: QuoteSummary


class OrderRejected(CrmEvent):
    """It won't be made."""

    reason: str


class OrderClosed(CrmEvent):
    """Delivered and paid."""


class OrderWithdrawn(CrmEvent):
    """A seller cancelled it."""

    reason: str


class QuoteExpired(CrmEvent):
    """Nobody approved it in time."""

    quote_id: UUID


class OrderHeld(CrmEvent):
    """Nothing happens to it for now."""

    reason: str
    held_from: OrderStatus


class OrderResumed(CrmEvent):
    """It goes on where it was."""

    held_from: OrderStatus
