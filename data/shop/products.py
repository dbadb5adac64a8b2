"""SQL of the shop's products."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from uuid import UUID

from sqlalchemy import Numeric, Uuid, bindparam, select, update

from data.kit import paging, sql
from data.kit.database import Connection
from data.kit.errors import NotFound, StaleVersion
from data.shop.tables import PRODUCTS


class Product(sql.Row):
    """A product of the catalogue."""

    id: UUID
    sku: str
    name: str
    category: str
    description: str
    process: str
    material: str
    price: Decimal
    currency: str
    in_stock: bool
    model_sha256: str | None = None
    version: int
    created_at: datetime


_EDITABLE_COLUMNS = (
    "name",
    "category",
    "description",
    "process",
    "material",
    "price",
    "currency",
    "in_stock",
    "model_sha256",
)
_insert = sql.insert_into(PRODUCTS, "id", "sku", *_EDITABLE_COLUMNS)
_SEED = sql.Statement(_insert.on_conflict_do_nothing(index_elements=[PRODUCTS.c.sku]))
_GET = sql.Statement(select(PRODUCTS).where(PRODUCTS.c.id == bindparam("id", type_=Uuid)))
_EDIT = sql.Statement(
    update(PRODUCTS)
    .where(PRODUCTS.c.id == bindparam("product_id", type_=Uuid), PRODUCTS.c.version == bindparam("if_version"))
    .values(
        {
            "version": PRODUCTS.c.version + 1,
            **{name: bindparam(name, type_=PRODUCTS.c[name].type) for name in _EDITABLE_COLUMNS},
        }
    )
    .returning(PRODUCTS)
)


async def seed(connection: Connection, product: Product) -> None:
    """Insert a product unless its SKU exists."""
    await sql.run(connection, _SEED, product.model_dump(include={"id", "sku", *_EDITABLE_COLUMNS}))


async def get(connection: Connection, product_id: UUID) -> Product | None:
    """Return a product."""
    return await sql.one(connection, _GET, {"id": product_id}, Product)


async def edit(connection: Connection, product: Product) -> Product:
    """Save a product if its version is the current one; raises StaleVersion, NotFound."""
    columns = product.model_dump(include=set(_EDITABLE_COLUMNS))
    parameters = {**columns, "product_id": product.id, "if_version": product.version}
    saved = await sql.one(connection, _EDIT, parameters, Product)
    if saved is None:
        current = await get(connection, product.id)
        if current is None:
            raise NotFound("there is no such product")
        raise StaleVersion(current.version)
    return saved


async def catalogue(
    connection: Connection,
    position: paging.Position,
    limit: int,
    category: str | None = None,
    in_stock: bool | None = None,
    max_price: Decimal | None = None,
) -> list[Product]:
    """Return a page of matching products and one more row, newest first."""
    values = {"category": category, "max_price": max_price}
    filters = [name for name, value in values.items() if value is not None]
    if in_stock is not None:
        filters.append("in_stock" if in_stock else "out_of_stock")
    return await sql.many(connection, _catalogue(*filters), {**values, **paging.parameters(position, limit)}, Product)


@cache
def _catalogue(*filters: str) -> sql.Statement:
    conditions = {
        "category": PRODUCTS.c.category == bindparam("category"),
        "in_stock": PRODUCTS.c.in_stock,
        "out_of_stock": ~PRODUCTS.c.in_stock,
        "max_price": PRODUCTS.c.price <= bindparam("max_price", type_=Numeric),
    }
    return paging.select_page(PRODUCTS, *(conditions[name] for name in filters))
