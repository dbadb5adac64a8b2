"""Events of the shop: the first half of an order's life, and requests to pricing."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from data.contracts.common import OrderEvent, OrderRequest, Priority, Sha256
from data.contracts.envelope import EventData

REQUEST_TOPICS = {priority: f"pricing.requests.{priority}.v1" for priority in Priority}


class ShopEvent(OrderEvent):
    """An event of the shop about an order."""

    SOURCE: ClassVar[str] = "/facet/shop/orders"
    TOPIC: ClassVar[str] = "shop.orders.v1"


class OrderInitiated(ShopEvent, OrderRequest):
    """A customer created an order.

    The shop publishes it with the request and the owner. Start to track the order; it has no model and no price yet.
    """

    owner_id: str
    partner: bool = False


class ModelUploaded(ShopEvent):
    """A model was uploaded to an order.

    The shop publishes it for the first model and for each replacement. Use the model with this SHA-256 from now on.
    """

    model_sha256: Sha256
    bytes: int = Field(ge=0)
    unit: str


class OrderSubmitted(ShopEvent, OrderRequest):
    """A customer submitted an order for pricing.

    The shop publishes it with the request and the id of the quote it expects. Wait for the outcome of that quote;
    outcomes of earlier quotes are obsolete.
    """

    owner_id: str
    partner: bool = False
    model_sha256: Sha256
    unit: str
    quote_id: UUID


class OrderCancelled(ShopEvent):
    """A customer cancelled an order.

    The shop publishes it with the reason; the status is final. Stop all work on the order.
    """

    reason: str


class PricingOverdue(ShopEvent):
    """Pricing of an order is overdue.

    The shop publishes it if no outcome of the quote arrived in time. Show the order as not priced; a price that
    arrives later is still valid.
    """

    quote_id: UUID


class PricingRequest(EventData):
    """A request of the shop to pricing, in the topic of its priority."""

    SOURCE: ClassVar[str] = "/facet/shop/pricing-requests"
    TOPIC: ClassVar[str] = "pricing.requests.{priority}.v1"

    quote_id: UUID
    order_id: UUID | None = None
    priority: Priority = Priority.STANDARD

    @property
    def subject(self) -> str:
        """Return the order's id, or the quote's if there is no order."""
        return str(self.order_id or self.quote_id)

    @property
    def topic(self) -> str:
        """Return the topic of the event's priority."""
        return REQUEST_TOPICS[self.priority]


class QuoteRequested(PricingRequest, OrderRequest):
    """A price for a model is requested.

    The shop publishes it for a submitted order. Price the model and publish the outcome with the same ``quote_id``.
    """

    owner_id: str
    model_sha256: Sha256
    unit: str


class QuoteWithdrawn(PricingRequest):
    """A request for a price was withdrawn.

    The shop publishes it when the order is cancelled. Stop pricing the quote. It is in the express topic, so it may
    arrive before the request that it withdraws.
    """

    @property
    def topic(self) -> str:
        """Return the express topic, which no backlog delays."""
        return REQUEST_TOPICS[Priority.EXPRESS]
