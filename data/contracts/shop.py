"""What the shop says: the first half of an order, and what it asks of pricing."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from data.contracts.common import OrderEvent, OrderRequest, Priority, Sha256
from data.contracts.envelope import EventData

REQUESTS = {priority: f"pricing.requests.{priority}.v1" for priority in Priority}


class ShopEvent(OrderEvent):
    """Of the shop, about an order."""

    SOURCE: ClassVar[str] = "/facet/shop/orders"
    TOPIC: ClassVar[str] = "shop.orders.v1"


class OrderInitiated(ShopEvent, OrderRequest):
    """There is a new order."""

    owner_id: str
    partner: bool = False


class ModelUploaded(ShopEvent):
    """The order has a model now, or another one."""

    model_sha256: Sha256
    bytes: int = Field(ge=0)
    unit: str


class OrderSubmitted(ShopEvent, OrderRequest):
    """The customer wants a price; ``quote_id`` is the request's."""

    owner_id: str
    partner: bool = False
    model_sha256: Sha256
    unit: str
    quote_id: UUID


class OrderCancelled(ShopEvent):
    """The order is off; whoever works on it stops."""

    reason: str


class PricingOverdue(ShopEvent):
    """No price came in time."""

    quote_id: UUID


class PricingRequest(EventData):
    """To pricing, in the topic of its priority."""

    SOURCE: ClassVar[str] = "/facet/shop/pricing-requests"
    TOPIC: ClassVar[str] = "pricing.requests.{priority}.v1"

    quote_id: UUID
    order_id: UUID | None = None
    priority: Priority = Priority.STANDARD

    @property
    def subject(self) -> str:
        """The order, or the quote where there is no order."""
        return str(self.order_id or self.quote_id)

    @property
    def topic(self) -> str:
        """That of its priority."""
        return REQUESTS[self.priority]


class QuoteRequested(PricingRequest, OrderRequest):
    """Price this model."""

    owner_id: str
    model_sha256: Sha256
    unit: str


class QuoteWithdrawn(PricingRequest):
    """The price is not needed any more. In the express topic, so it may come before the request that it withdraws."""

    @property
    def topic(self) -> str:
        """The one that no backlog delays."""
        return REQUESTS[Priority.EXPRESS]
