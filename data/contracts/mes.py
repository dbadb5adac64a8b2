"""What the MES says: how far production is."""

from __future__ import annotations

from typing import ClassVar

from data.contracts.common import OrderEvent
from data.contracts.lifecycle import OrderStatus


class ProductionEvent(OrderEvent):
    """Of the MES, about an order."""

    SOURCE: ClassVar[str] = "/facet/mes"
    TOPIC: ClassVar[str] = "mes.production.v1"


class ProductionStarted(ProductionEvent):
    """An operator claimed it: ``by``."""


class ProductionCompleted(ProductionEvent):
    """Made."""


class ProductionPackaged(ProductionEvent):
    """Being packed."""


class ProductionShipped(ProductionEvent):
    """On its way."""

    tracking: str | None = None


class ReworkOrdered(ProductionEvent):
    """To be made again, by whoever claims it."""

    reason: str


class ProductionHeld(ProductionEvent):
    """Work on it rests."""

    reason: str
    held_from: OrderStatus


class ProductionResumed(ProductionEvent):
    """Work on it goes on where it was."""

    held_from: OrderStatus
