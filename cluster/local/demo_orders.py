"""Three sample orders over HTTP, from upload to price: a check of the complete chain and its latency."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from cluster.local.demo_accounts import credentials
from cluster.local.parts import PartFailed
from cluster.local.state import Folder
from pricing_engine.mesh.samples import SAMPLES

_PRICE_TIMEOUT_S = 120.0
_WIDTH = 150  # where there is no terminal
_UNPRICED = ("INITIATED", "FILE_UPLOADED", "SUBMITTED")


@dataclass(frozen=True, slots=True)
class PricedOrder:
    """A priced order, as the status service returns it."""

    account: str
    model: str
    item: str
    order: dict[str, Any]


def run_sample_orders(url: str, folder: Folder) -> None:
    """Place the orders concurrently and print the results; raises PartFailed if one gets no price."""
    accounts = credentials(folder.data)
    with tempfile.TemporaryDirectory() as folder_name, httpx.Client(base_url=url, timeout=60) as client:
        band, signet = (SAMPLES[name]().write_stl(Path(folder_name)) for name in ("band", "signet"))
        customer = _sign_in(client, "customer", accounts.passwords["customer"])
        partner = {"X-API-Key": accounts.partner_api_key}
        orders: list[Callable[[], PricedOrder]] = [
            lambda: _customer_order(client, customer, "customer", band, "gold-18k-yellow", "standard"),
            lambda: _customer_order(client, customer, "customer, express", signet, "silver-925", "express"),
            lambda: _partner_order(client, partner, band, "gold-14k-yellow"),
        ]
        try:
            with ThreadPoolExecutor() as pool:
                priced = list(pool.map(lambda order: order(), orders))
        except httpx.HTTPError as error:
            raise PartFailed(f"a sample order failed: {error}; the services' logs: {folder.logs}") from error
    _show(priced)


def _customer_order(
    client: httpx.Client, headers: dict[str, str], account: str, model: Path, material: str, priority: str
) -> PricedOrder:
    item = {"process": "casting", "material": material, "quantity": 1, "priority": priority}
    order_id = _json(client.post("/shop/orders", json=item, headers=headers))["order_id"]
    with model.open("rb") as file:
        _json(client.put(f"/shop/orders/{order_id}/model", files={"model": file}, headers=headers))
    _json(client.post(f"/shop/orders/{order_id}/submit", headers=headers))
    return PricedOrder(account, model.stem, material, _wait_for_price(client, order_id, headers))


def _partner_order(client: httpx.Client, headers: dict[str, str], model: Path, material: str) -> PricedOrder:
    fields = {"process": "casting", "material": material, "quantity": "5"}
    with model.open("rb") as file:
        created = _json(client.post("/partners/v1/orders", data=fields, files={"model": file}, headers=headers))
    return PricedOrder("partner", model.stem, f"5 x {material}", _wait_for_price(client, created["order_id"], headers))


def _wait_for_price(client: httpx.Client, order_id: str, headers: dict[str, str]) -> dict[str, Any]:
    deadline = time.monotonic() + _PRICE_TIMEOUT_S
    while time.monotonic() < deadline:
        response = client.get(f"/status/orders/{order_id}", headers=headers)
        if response.status_code != httpx.codes.NOT_FOUND:  # the read model is eventually consistent
            order = _json(response)
            if order["status"] not in _UNPRICED:
                return order
        time.sleep(0.05)
    raise PartFailed(f"the sample order {order_id} has no price after {_PRICE_TIMEOUT_S:.0f} s; run `facet status`")


def _sign_in(client: httpx.Client, username: str, password: str) -> dict[str, str]:
    grant = {"grant_type": "password", "username": username, "password": password}
    return {"Authorization": f"Bearer {_json(client.post('/auth/token', data=grant))['access_token']}"}


def _json(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


def _show(priced: list[PricedOrder]) -> None:
    table = Table("account", "model", "item", "status", "total", "after submission", "order", title="Sample orders")
    for each in priced:
        quote = each.order["quote"]
        total = f"{quote['total']} {quote['currency']}" if quote else ""
        table.add_row(
            each.account,
            each.model,
            each.item,
            each.order["status"],
            total,
            _latency(each.order),
            each.order["order_id"],
        )
    Console(stderr=True, width=None if sys.stderr.isatty() else _WIDTH).print(table)


def _latency(order: dict[str, Any]) -> str:
    at = {line["status"]: datetime.fromisoformat(line["at"]) for line in order["history"]}
    if "SUBMITTED" not in at:
        return ""
    return f"{1000 * (max(at.values()) - at['SUBMITTED']).total_seconds():.0f} ms"
