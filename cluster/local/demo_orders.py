"""Three sample orders, carried by HTTP from upload to a price: they show that the whole chain works, and how fast."""

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

_PRICED_WITHIN_S = 120.0
_WIDTH = 150  # where no terminal says how wide it is
_OPEN = ("INITIATED", "FILE_UPLOADED", "SUBMITTED")


@dataclass(frozen=True, slots=True)
class Carried:
    """An order after its price is known: as the status service tells it."""

    who: str
    model: str
    wish: str
    order: dict[str, Any]


def carry(url: str, folder: Folder) -> None:
    """Carry the orders at once and print what happened; raises PartFailed where one does not get its price."""
    accounts = credentials(folder.data)
    with tempfile.TemporaryDirectory() as place, httpx.Client(base_url=url, timeout=60) as client:
        band, signet = (SAMPLES[name]().write_stl(Path(place)) for name in ("band", "signet"))
        customer = _signed_in(client, "customer", accounts.passwords["customer"])
        partner = {"X-API-Key": accounts.partner_api_key}
        orders: list[Callable[[], Carried]] = [
            lambda: _customer(client, customer, "customer", band, "gold-18k-yellow", "standard"),
            lambda: _customer(client, customer, "customer, express", signet, "silver-925", "express"),
            lambda: _partner(client, partner, band, "gold-14k-yellow"),
        ]
        try:
            with ThreadPoolExecutor() as pool:
                carried = list(pool.map(lambda order: order(), orders))
        except httpx.HTTPError as error:
            raise PartFailed(
                f"a sample order could not be carried: {error}; the services' log: {folder.logs}"
            ) from error
    _show(carried)


def _customer(
    client: httpx.Client, headers: dict[str, str], who: str, model: Path, material: str, priority: str
) -> Carried:
    wish = {"process": "casting", "material": material, "quantity": 1, "priority": priority}
    ident = _json(client.post("/shop/orders", json=wish, headers=headers))["order_id"]
    with model.open("rb") as file:
        _json(client.put(f"/shop/orders/{ident}/model", files={"model": file}, headers=headers))
    _json(client.post(f"/shop/orders/{ident}/submit", headers=headers))
    return Carried(who, model.stem, material, _priced(client, ident, headers))


def _partner(client: httpx.Client, headers: dict[str, str], model: Path, material: str) -> Carried:
    fields = {"process": "casting", "material": material, "quantity": "5"}
    with model.open("rb") as file:
        made = _json(client.post("/partners/v1/orders", data=fields, files={"model": file}, headers=headers))
    return Carried("partner", model.stem, f"5 x {material}", _priced(client, made["order_id"], headers))


def _priced(client: httpx.Client, ident: str, headers: dict[str, str]) -> dict[str, Any]:
    deadline = time.monotonic() + _PRICED_WITHIN_S
    while time.monotonic() < deadline:
        answer = client.get(f"/status/orders/{ident}", headers=headers)
        if answer.status_code != httpx.codes.NOT_FOUND:  # the read model follows by events
            order = _json(answer)
            if order["status"] not in _OPEN:
                return order
        time.sleep(0.05)
    raise PartFailed(f"the sample order {ident} has no price after {_PRICED_WITHIN_S:.0f} s; `facet status` tells more")


def _signed_in(client: httpx.Client, username: str, password: str) -> dict[str, str]:
    grant = {"grant_type": "password", "username": username, "password": password}
    return {"Authorization": f"Bearer {_json(client.post('/auth/token', data=grant))['access_token']}"}


def _json(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    tree: dict[str, Any] = answer.json()
    return tree


def _show(carried: list[Carried]) -> None:
    table = Table("who", "model", "wish", "status", "total", "after submission", "order", title="Sample orders")
    for each in carried:
        quote = each.order["quote"]
        total = f"{quote['total']} {quote['currency']}" if quote else ""
        table.add_row(
            each.who, each.model, each.wish, each.order["status"], total, _waited(each.order), each.order["order_id"]
        )
    Console(stderr=True, width=None if sys.stderr.isatty() else _WIDTH).print(table)


def _waited(order: dict[str, Any]) -> str:
    at = {line["status"]: datetime.fromisoformat(line["at"]) for line in order["history"]}
    if "SUBMITTED" not in at:
        return ""
    return f"{1000 * (max(at.values()) - at['SUBMITTED']).total_seconds():.0f} ms"
