"""Events of the MES: the progress of production."""

from __future__ import annotations

from typing import ClassVar

from data.contracts.common import OrderEvent
from data.contracts.lifecycle import OrderStatus


class ProductionEvent(OrderEvent):
    """An event of the MES about an order."""

    SOURCE: ClassVar[str] = "/facet/mes"
    TOPIC: ClassVar[str] = "mes.production.v1"


class ProductionStarted(ProductionEvent):
    """An operator started to manufacture an order.

    The MES publishes it when the operator in ``by`` claims the order. Customers can't cancel the order from now on.
    """


class ProductionCompleted(ProductionEvent):
    """Manufacturing of an order is complete.

    The MES publishes it when all parts are made. Expect packaging next, or rework if a part fails inspection.
    """


class ProductionPackaged(ProductionEvent):
    """Packaging of an order started.

    The MES publishes it when an operator packs the finished parts. Expect the shipment next.
    """


class ProductionShipped(ProductionEvent):
    """An order was shipped.

    The MES publishes it when the carrier has the parcel; ``tracking`` is the carrier's number if there is one. Inform
    the customer; the CRM closes the order after delivery and payment.
    """

    tracking: str | None = None


class ReworkOrdered(ProductionEvent):
    """An order must be manufactured again.

    The MES publishes it with the reason when parts are faulty. The order is unclaimed; any operator may start it.
    """

    reason: str


class ProductionHeld(ProductionEvent):
    """Production of an order is on hold.

    The MES publishes it with the reason and the status before the hold. Pause all work until production is resumed.
    """

    reason: str
    held_from: OrderStatus


class ProductionResumed(ProductionEvent):
    """Production of an order was resumed.

    The MES publishes it with the status that the order returns to. Continue the work on the order from that status.
    """

    held_from: OrderStatus
