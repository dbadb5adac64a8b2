"""The price book of a process, and the check of orders against it before anything is measured or stored."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

from pricing_engine.pricing.book import PriceBook, load_price_book, offer
from pricing_engine.pricing.quote import Request, check_request
from pricing_engine.processes.errors import PricingError
from serve_app.kit.problems import Problem
from serve_app.kit.settings import settings

UNITS = ("mm", "cm", "m", "in")


@cache
def price_book() -> PriceBook:
    """Return the price book of this process."""
    return load_price_book(settings().price_book)


@cache
def offered_options() -> dict[str, Any]:
    """Return what the price book offers, as JSON."""
    return offer(price_book())


def check_order_request(process: str, material: str, finish: str | None, quantity: int) -> None:
    """Raise a 422 that lists what is offered, if the price book does not have the requested option."""
    try:
        check_request(price_book(), Request(process, (material,), finish, (quantity,)))
    except PricingError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not-offered", str(error)) from error
