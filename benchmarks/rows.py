"""Orders by the million in the services' databases, written by the databases themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

UPLOADED = 100_000
"""Orders that wait to be submitted, at most."""
_SHA = "repeat('ab', 32)"
_OWNER = "CASE WHEN mod(g, 50) = 0 THEN 'customer' ELSE 'customer-' || mod(g, 5000) END"
_WHEN = "now() - (%(orders)s - g) * interval '1 second'"
_QUOTE = (
    "jsonb_build_object('quote_id', uuidv7(), 'unit_price', '120.00', 'total', '120.00', 'currency', 'EUR', "
    "'expires_at', now() + interval '14 days', 'verdict', 'manufacturable')"
)
_PRICED = "(ARRAY['PRICE_CALCULATED', 'MANUFACTURING_APPROVED', 'SHIPPED', 'CLOSED'])[1 + mod(g, 4)]"
_MADE = "(ARRAY['MANUFACTURING_APPROVED', 'PACKAGING', 'SHIPPED'])[1 + mod(g, 3)]"
_FILL = {
    "shop": (
        f"""INSERT INTO orders (id, owner_id, partner, status, process, material, quantity, priority, unit,
            model_sha256, revision, created_at)
        SELECT uuidv7(), {_OWNER}, false, 'CLOSED', 'casting', 'silver-925', 1, 'standard', 'mm', {_SHA}, 10, {_WHEN}
        FROM generate_series(1, %(orders)s) g""",
        f"""INSERT INTO orders (id, owner_id, partner, status, process, material, quantity, priority, unit,
            model_sha256, revision, version)
        SELECT uuidv7(), 'customer', false, 'FILE_UPLOADED', 'casting', 'silver-925', 1, 'bulk', 'mm', {_SHA}, 2, 2
        FROM generate_series(1, %(uploaded)s)""",
    ),
    "status": (
        f"""INSERT INTO orders (id, status, owner_id, priority, quote, entries, revision, created_at)
        SELECT uuidv7(), {_PRICED}, {_OWNER}, 'standard', {_QUOTE}, 4, 4, {_WHEN}
        FROM generate_series(1, %(orders)s) g""",
        """INSERT INTO history (order_id, n, status, at, by, event_id)
        SELECT id, n, (ARRAY['INITIATED', 'FILE_UPLOADED', 'SUBMITTED', 'PRICE_CALCULATED'])[n], created_at, 'customer',
            uuidv7() FROM orders, generate_series(1, 4) n""",
    ),
    "crm": (
        f"""INSERT INTO orders (id, owner_id, partner, status, process, material, quantity, priority, unit,
            model_sha256, quote, revision, created_at)
        SELECT uuidv7(), {_OWNER}, false, {_PRICED}, 'casting', 'silver-925', 1, 'standard', 'mm', {_SHA}, {_QUOTE}, 4,
            {_WHEN} FROM generate_series(1, %(orders)s) g""",
    ),
    "mes": (
        f"""INSERT INTO tasks (id, status, process, material, quantity, priority, unit, model_sha256, revision,
            created_at)
        SELECT uuidv7(), {_MADE}, 'casting', 'silver-925', 1, 'standard', 'mm', {_SHA}, 5, {_WHEN}
        FROM generate_series(1, %(orders)s) g""",
    ),
}
_TABLES = {"shop": "orders, order_history", "status": "orders, history", "crm": "orders", "mes": "tasks"}


@dataclass(frozen=True, slots=True)
class SeededOrders:
    """The demo customer's: ``of_customer`` in the status database; ``uploaded`` in the shop, to be submitted."""

    of_customer: list[str]
    uploaded: list[str]


def seed_orders(urls: Mapping[str, str], orders: int) -> SeededOrders:
    """Put so many orders into the databases, in place of what was there."""
    for service, statements in _FILL.items():
        with psycopg.connect(urls[service], autocommit=True) as connection:
            connection.execute(f"TRUNCATE {_TABLES[service]}".encode())
            for statement in statements:
                connection.execute(statement.encode(), {"orders": orders, "uploaded": min(orders, UPLOADED)})
                connection.execute("ANALYZE")  # or what refers to these rows looks them up as if there were few
            connection.execute("VACUUM ANALYZE")
    mine = "SELECT id::text FROM orders WHERE owner_id = 'customer' AND status = %s LIMIT 100000"
    with psycopg.connect(urls["status"]) as status, psycopg.connect(urls["shop"]) as shop:
        owned = status.execute(mine, ["PRICE_CALCULATED"]).fetchall()
        return SeededOrders([row[0] for row in owned], [row[0] for row in shop.execute(mine, ["FILE_UPLOADED"])])
