"""The topics, and their consumers."""

from __future__ import annotations

from data.contracts.common import Priority
from data.contracts.crm import CrmEvent
from data.contracts.mes import ProductionEvent
from data.contracts.pricing import QuoteEvent
from data.contracts.shop import REQUEST_TOPICS, ShopEvent

SHOP_ORDERS, QUOTES, CRM_ORDERS, PRODUCTION = ShopEvent.TOPIC, QuoteEvent.TOPIC, CrmEvent.TOPIC, ProductionEvent.TOPIC
TOPICS = (SHOP_ORDERS, *REQUEST_TOPICS.values(), QUOTES, CRM_ORDERS, PRODUCTION)
TOPIC_DESCRIPTIONS = {
    SHOP_ORDERS: "Creation, upload, submission and cancellation of orders, published by the shop.",
    **{
        topic: f"Requests for prices with the priority {priority}, published by the shop."
        for priority, topic in REQUEST_TOPICS.items()
    },
    REQUEST_TOPICS[
        Priority.EXPRESS
    ]: "Requests for prices with the priority express, and withdrawals of requests of any "
    "priority, published by the shop.",
    QUOTES: "Outcomes of quotes (priced, to review, rejected, failed, cancelled), published by pricing.",
    CRM_ORDERS: "Decisions of sellers about orders, and expired quotes, published by the CRM.",
    PRODUCTION: "Progress of production from the operator's claim to shipment, published by the MES.",
}
CONSUMERS: dict[str, tuple[str, ...]] = {
    "shop": (QUOTES, CRM_ORDERS, PRODUCTION),
    # A consumer for each priority, so that express never waits for bulk.
    **{f"pricing-{priority}": (REQUEST_TOPICS[priority],) for priority in Priority},
    "crm": (SHOP_ORDERS, QUOTES, PRODUCTION),
    "mes": (SHOP_ORDERS, CRM_ORDERS),
    "status": (SHOP_ORDERS, QUOTES, CRM_ORDERS, PRODUCTION),
    "partners": (SHOP_ORDERS, QUOTES, CRM_ORDERS, PRODUCTION),
}
"""Consumer (Kafka's group, and the inbox's name) -> its topics."""


def dead_letters(consumer: str) -> str:
    """Return the topic of the messages that a consumer could not apply."""
    return f"{consumer}.dead-letter"


def all_topics() -> list[str]:
    """Return every topic that a broker must have, dead letters too."""
    return [*TOPICS, *map(dead_letters, CONSUMERS)]
