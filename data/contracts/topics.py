"""The topics, and who reads which."""

from __future__ import annotations

from data.contracts.common import Priority
from data.contracts.crm import CrmEvent
from data.contracts.mes import ProductionEvent
from data.contracts.pricing import QuoteEvent
from data.contracts.shop import REQUESTS, ShopEvent

SHOP_ORDERS, QUOTES, CRM_ORDERS, PRODUCTION = ShopEvent.TOPIC, QuoteEvent.TOPIC, CrmEvent.TOPIC, ProductionEvent.TOPIC
TOPICS = (SHOP_ORDERS, *REQUESTS.values(), QUOTES, CRM_ORDERS, PRODUCTION)
CONSUMERS: dict[str, tuple[str, ...]] = {
    "shop": (QUOTES, CRM_ORDERS, PRODUCTION),
    # A consumer for each priority, so that express never waits behind bulk.
    **{f"pricing-{priority}": (REQUESTS[priority],) for priority in Priority},
    "crm": (SHOP_ORDERS, QUOTES, PRODUCTION),
    "mes": (SHOP_ORDERS, CRM_ORDERS),
    "status": (SHOP_ORDERS, QUOTES, CRM_ORDERS, PRODUCTION),
    "partners": (SHOP_ORDERS, QUOTES, CRM_ORDERS, PRODUCTION),
}
"""Consumer (Kafka's group, and the inbox's name) -> its topics."""


def dead_letters(consumer: str) -> str:
    """The topic of what a consumer could not take."""
    return f"{consumer}.dead-letter"


def all_topics() -> list[str]:
    """Every topic that a broker must have, dead letters too."""
    return [*TOPICS, *map(dead_letters, CONSUMERS)]
