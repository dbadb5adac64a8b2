"""The first rows of the local stack: accounts of people, a partner and a service, and a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from data.identity import repository as identity
from data.kit.clock import now
from data.kit.database import Database
from data.kit.ids import new_id
from data.kit.settings import DataSettings
from data.partners import repository as partners
from data.shop import products
from data.shop.products import Product

PEOPLE = ("customer", "seller", "operator", "admin")
"""Usernames, each of which is also its role."""
MORE_OPERATORS = tuple(f"operator-{n}" for n in range(2, 6))
MES_CLIENT, PARTNER = "mes", "Sample jeweller"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of all accounts. ``passwords``: by username, of PEOPLE and MORE_OPERATORS."""

    passwords: Mapping[str, str]
    mes_secret: str
    partner_api_key: str

    def to_json(self) -> dict[str, Any]:
        """Return the credentials as ``facet status --json`` prints them."""
        return {
            **{name: {"username": name, "password": self.passwords[name]} for name in PEOPLE},
            "mes_service": {"client_id": MES_CLIENT, "client_secret": self.mes_secret},
            "partner_api_key": self.partner_api_key,
        }


_CATALOGUE = (
    ("RING-BAND-18K", "Plain band, 18k yellow", "rings", "casting", "gold-18k-yellow", "640.00", True),
    ("RING-SIGNET-925", "Signet ring, sterling silver", "rings", "casting", "silver-925", "120.00", True),
    ("PEND-OPEN-14K", "Openwork pendant, 14k yellow", "pendants", "casting", "gold-14k-yellow", "410.00", True),
    ("RING-PAVE-PT", "Pave ring, platinum 950", "rings", "casting", "platinum-950", "1890.00", False),
    ("MODEL-RESIN", "Display model, resin", "models", "resin", "resin-standard", "24.00", True),
    ("CLASP-PA12", "Clasp, nylon", "parts", "powder-bed", "pa12", "9.50", True),
)


async def seed(settings: DataSettings, credentials: Credentials) -> None:
    """Add the rows that are missing."""
    async with Database(settings.database_url("identity"), settings) as database, database.connection() as connection:
        for name in PEOPLE:
            await identity.add_user(connection, name, credentials.passwords[name], [name])
        for name in MORE_OPERATORS:
            await identity.add_user(connection, name, credentials.passwords[name], ["operator"])
        await identity.add_client(connection, MES_CLIENT, credentials.mes_secret, ["pricing-client"])
    async with Database(settings.database_url("partners"), settings) as database, database.connection() as connection:
        await partners.add_key(connection, await partners.add(connection, PARTNER), credentials.partner_api_key)
    async with Database(settings.database_url("shop"), settings) as database, database.connection() as connection:
        for sku, name, category, process, material, price, in_stock in _CATALOGUE:
            await products.seed(
                connection,
                Product(
                    id=new_id(), sku=sku, name=name, category=category, description=f"{name}. Made to order.",
                    process=process, material=material, price=Decimal(price), currency="EUR",
                    in_stock=in_stock, version=1, created_at=now(),
                ),
            )  # fmt: skip
