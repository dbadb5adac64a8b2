"""Events of the CRM: decisions of sellers, and expired quotes."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from data.contracts.common import OrderEvent, OrderRequest, QuoteSummary, Sha256
from data.contracts.lifecycle import OrderStatus


class CrmEvent(OrderEvent):
    """An event of the CRM about an order."""

    SOURCE: ClassVar[str] = "/facet/crm"
    TOPIC: ClassVar[str] = "crm.orders.v1"


class OrderReleased(CrmEvent):
    """A seller released a reviewed order.

    The CRM publishes it when a seller confirms the price of an order that needed a review. Offer the price to the
    customer as for an order that needed none.
    """

    quote_id: UUID


class OrderApproved(CrmEvent, OrderRequest):
    """A seller approved an order for production.

    The CRM publishes it with all that the MES needs to manufacture the order. Put the order on the production board.
    """

    owner_id: str
    model_sha256: Sha256
    unit: str
    quote: QuoteSummary


class OrderRejected(CrmEvent):
    """A seller rejected an order.

    The CRM publishes it with the reason; the status is final. Stop all work on the order and inform the customer.
    """

    reason: str


class OrderClosed(CrmEvent):
    """A seller closed a shipped order.

    The CRM publishes it when the order is delivered and paid; the status is final. Archive the order.
    """


class OrderWithdrawn(CrmEvent):
    """A seller cancelled an order.

    The CRM publishes it with the reason, also for an order in production; the status is final. Stop all work on the
    order.
    """

    reason: str


class QuoteExpired(CrmEvent):
    """The quote of an order expired.

    The CRM publishes it if no seller decided before the quote's expiry. The price is void: submit the order again to
    get another quote.
    """

    quote_id: UUID


class OrderHeld(CrmEvent):
    """A seller put an order on hold.

    The CRM publishes it with the reason and the status before the hold. Pause all work until the order is resumed.
    """

    reason: str
    held_from: OrderStatus


class OrderResumed(CrmEvent):
    """A seller resumed an order on hold.

    The CRM publishes it with the status that the order returns to. Continue the work on the order from that status.
    """

    held_from: OrderStatus
