"""Every query of every service over many rows uses the expected indexes, reads few blocks and sorts few rows.

`make plans` fills each table with a million rows, which takes minutes. ``FACET_TEST_ROWS`` sets another number.
"""

from __future__ import annotations

import importlib
import itertools
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Literal

from benchmarks.databases import BUSY, QUIET, filled, row_id
from data.contracts.common import Priority
from data.contracts.lifecycle import OrderStatus
from data.contracts.topics import CONSUMERS
from data.kit import clock, idempotency, inbox, relay
from data.kit.paging import START
from data.kit.parking import MAX_COUNTED
from data.kit.settings import SERVICES
from data.kit.sql import Statement
from data.shop import products

ROWS = int(os.environ.get("FACET_TEST_ROWS", "200000"))
CUSTOM_PLANS = 5
"""The number of times that PostgreSQL plans a prepared statement for its values, before it considers a generic plan."""
MAX_SORTED = 500
NOW, ORDER_ID = clock.now(), row_id(ROWS // 200)
VALUES: dict[str, list[Any]] = {
    **{name: [ORDER_ID] for name in ("id", "order_id", "user_id", "task_id", "delivery_id", "quote_id", "product_id")},
    **{name: [ORDER_ID] for name in ("webhook_id", "key_id", "partner_id")},
    **{name: [NOW] for name in ("before", "now", "at", "until")},
    "after_at": [START.created_at, NOW - timedelta(182)],
    "after_id": [row_id(1)],
    "after": [NOW - timedelta(400)],
    "limit": [51],
    "owner_id": [BUSY, QUIET],
    "caller": [BUSY],
    "key": ["10"],
    "status": [OrderStatus.MANUFACTURING_APPROVED, OrderStatus.SHIPPED, OrderStatus.CLOSED],
    "operator": ["operator-7"],
    "priority": list(Priority),
    "username": ["user-77"],
    "client_id": ["client-77"],
    "name": ["partner-77"],
    "kind": ["type"],
    "sha256": [b"hash"],
    "category": ["category-7"],
    "max_price": [300],
    "busy": [[row_id(9)]],
    "order_ids": [[ORDER_ID], [row_id(n) for n in range(ROWS // 200, ROWS // 200 + 16)]],
    "per_webhook": [20],
    "wait_ms": [ROWS // 2],
    "wait": [timedelta(seconds=5)],
    "consumers": [list(CONSUMERS)],
    "consumer": ["shop"],
    "subject": ["order-77"],
    "subjects": [["order-77", "order-78"]],
    "event_id": [ORDER_ID],
    "row": [77],
    "last": [ROWS],
    "ids": [[]],
}
"""Parameter -> its values in turn; parameters that are only written are null."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected plan of a statement.

    ``indexes``: those that it may use; it must use one. ``blocks``: the maximum (of 8 KiB) for each row that it returns
    or changes. ``full_scan``: a table that it may read completely. ``values``: override ``VALUES``.
    """

    indexes: tuple[str, ...]
    blocks: int = 3
    full_scan: str | None = None
    values: Mapping[str, list[Any]] = field(default_factory=dict)


def by(*indexes: str, blocks: int = 3, full_scan: str | None = None, **values: list[Any]) -> Expected:
    """Return the expected plan, as a short form."""
    return Expected(indexes, blocks, full_scan, values)


OLD = NOW - timedelta(360)
PLANS: dict[str, Expected] = {
    "shop.repository._GET": by("pk_orders"),
    "shop.repository._LOCK": by("pk_orders"),
    # The table of operating clocks has one row.
    "shop.repository._MOVE": by("pk_orders", full_scan="operating_clocks"),
    "shop.repository._MOVE_WITH_EVENT": by("pk_orders", full_scan="operating_clocks"),
    "shop.repository._HISTORY": by("pk_order_history"),
    "shop.repository._OF_OWNER": by("ix_orders_owner"),
    "shop.repository._OVERDUE": by("ix_orders_waiting", full_scan="operating_clocks"),
    "shop.products._GET": by("pk_products"),
    "shop.products._EDIT": by("pk_products"),
    # A filter without an index prefix is checked for each row of the scan: the rows it rejects are read too.
    "shop.products._catalogue()": by("ix_products_newest"),
    "shop.products._catalogue(in_stock)": by("ix_products_newest"),
    "shop.products._catalogue(out_of_stock)": by("ix_products_newest"),
    "shop.products._catalogue(max_price)": by("ix_products_newest"),
    "shop.products._catalogue(in_stock, max_price)": by("ix_products_newest"),
    "shop.products._catalogue(out_of_stock, max_price)": by("ix_products_newest"),
    "shop.products._catalogue(category)": by("ix_products_category"),
    "shop.products._catalogue(category, in_stock)": by("ix_products_in_stock"),
    "shop.products._catalogue(category, out_of_stock)": by("ix_products_category"),
    "shop.products._catalogue(category, max_price)": by("ix_products_category", blocks=4),
    "shop.products._catalogue(category, in_stock, max_price)": by("ix_products_in_stock", blocks=4),
    "shop.products._catalogue(category, out_of_stock, max_price)": by("ix_products_category", blocks=10),
    "kit.idempotency._SELECT": by("pk_idempotency_keys"),
    "kit.idempotency._SAVE_RESPONSE": by("pk_idempotency_keys"),
    "kit.idempotency._DELETE_EXPIRED": by("ix_idempotency_keys_created_at", now=[OLD + idempotency.RETENTION]),
    "kit.inbox._DELETE_EXPIRED": by("ix_inbox_received_at", "pk_inbox", now=[OLD + inbox.RETENTION]),
    # It stops at the first row that the consumer has parked, the first of all in this test.
    "kit.inbox._RECORD": by("ix_parked_subject", "ix_parked_undecided", "pk_parked", full_scan="parked"),
    "kit.parking._SUBJECTS_WITH_PARKED": by("ix_parked_subject"),
    "kit.parking._OF_SUBJECT": by("ix_parked_subject"),
    "kit.parking._REMOVE": by("pk_parked"),
    "kit.parking._MARK_REFUSED": by("pk_parked"),
    "kit.parking._DELETE_FROM_INBOX": by("pk_inbox"),
    # Nearly all rows of this test are undecided: the primary key finds the last and the oldest as fast.
    "kit.parking._LAST_UNDECIDED": by("ix_parked_undecided", "pk_parked"),
    "kit.parking._UNDECIDED_SUBJECTS": by("ix_parked_undecided", "pk_parked", limit=[100]),
    "kit.parking._MARK_UNREACHABLE": by("ix_parked_subject", blocks=16),
    # It counts up to MAX_COUNTED.
    "kit.parking._COUNT": by(
        *("ix_parked_subject", "ix_parked_unreachable", "ix_parked_undecided"), full_scan="parked", blocks=MAX_COUNTED
    ),
    "kit.parking._LIST": by("pk_parked", after=[0]),
    # A view over the server's own memory.
    "kit.group_membership._HELD": by(full_scan="pg_locks"),
    "kit.relay._OLDEST": by("pk_outbox"),
    "kit.relay._TAKE": by("pk_outbox", blocks=7, limit=[relay.BATCH_SIZE]),
    "pricing.repository._GET": by("pk_quotes"),
    "pricing.repository._START": by("pk_quotes"),
    "pricing.repository._PROGRESS": by("pk_quotes"),
    "pricing.repository._FINISH": by("pk_quotes"),
    "pricing.repository._OF_OWNER": by("ix_quotes_owner"),
    "pricing.repository._UNFINISHED": by("ix_quotes_unfinished"),
    "pricing.repository._HAS_MODEL": by("ix_quotes_model"),
    "crm.repository._GET": by("pk_orders"),
    "crm.repository._LOCK": by("pk_orders"),
    "crm.repository._SAVE": by("pk_orders", full_scan="operating_clocks"),
    "crm.repository._SAVE_WITH_EVENT": by("pk_orders", full_scan="operating_clocks"),
    "crm.repository._ALL": by("ix_orders_newest"),
    "crm.repository._WITH_STATUS": by("ix_orders_status", "ix_orders_newest"),
    "crm.repository._EXPIRED": by("ix_orders_expiring", full_scan="operating_clocks"),
    "mes.repository._GET": by("pk_tasks"),
    "mes.repository._LOCK": by("pk_tasks"),
    "mes.repository._SAVE": by("pk_tasks"),
    "mes.repository._SAVE_WITH_EVENT": by("pk_tasks"),
    "mes.repository._IS_WITHDRAWN": by("pk_withdrawn"),
    "mes.repository._ALL": by("ix_tasks_newest"),
    "mes.repository._WITH_STATUS": by("ix_tasks_status", "ix_tasks_newest"),
    "mes.repository._OF_OPERATOR": by("ix_tasks_operator"),
    "status.repository._GET": by("pk_orders"),
    "status.repository._AS_JSON": by("pk_orders", "pk_history", blocks=6),
    "status.repository._SAVE": by("pk_orders"),
    "status.repository._HISTORY": by("pk_history", after=[0]),
    "status.repository._OF_OWNER": by("ix_orders_owner"),
    "partners.repository._BY_NAME": by("uq_partners_name"),
    "partners.repository._IS_PARTNER": by("pk_partners"),
    "partners.repository._PARTNER_OF_KEY": by("uq_api_keys_sha256"),
    "partners.repository._KEYS": by("ix_api_keys_partner_id"),
    "partners.repository._REVOKE": by("pk_api_keys"),
    "partners.repository._PARTNER_OF_ORDER": by("pk_orders"),
    "partners.repository._SAVE_ORDER": by("pk_orders"),
    "partners.repository._ORDERS": by("ix_orders_partner"),
    "partners.repository._WEBHOOK": by("pk_webhooks", "ix_webhooks_partner_id"),
    "partners.repository._WEBHOOKS": by("ix_webhooks_partner_id"),
    "partners.repository._COUNT": by("ix_webhooks_partner_id"),
    "partners.repository._SUBSCRIBED": by("ix_webhooks_partner_id"),
    "partners.repository._EDIT": by("pk_webhooks"),
    "partners.repository._DELETE": by("pk_webhooks", "ix_webhooks_partner_id"),
    "partners.repository._DEACTIVATE": by("pk_webhooks"),
    # It reads each webhook once: the cost grows with the webhooks, not with the deliveries.
    "partners.deliveries._LEASE": by(
        *("ix_deliveries_due", "ix_deliveries_order", "pk_deliveries", "pk_webhooks"),
        full_scan="webhooks",
        blocks=ROWS // 1000,
    ),
    "partners.deliveries._DELIVERED": by("pk_deliveries"),
    "partners.deliveries._GIVE_UP": by("pk_deliveries"),
    "partners.deliveries._RETRY_LATER": by("pk_deliveries"),
    "partners.deliveries._UNCOUNT": by("pk_deliveries"),
    "partners.deliveries._REPLAY": by("pk_deliveries", "pk_webhooks", "ix_webhooks_partner_id"),
    "partners.deliveries._LIST": by("ix_deliveries_newest"),
    "partners.deliveries._ATTEMPTS": by("pk_attempts"),
    "partners.deliveries._OWNED": by("pk_deliveries", "pk_webhooks", "ix_webhooks_partner_id"),
    "identity.repository._GET": by("pk_users"),
    "identity.repository._BY_NAME": by("uq_users_username"),
    "identity.repository._REHASH": by("pk_users"),
    "identity.repository._CLIENT": by("pk_clients"),
}


def queries(package: str) -> Iterator[tuple[str, Statement]]:
    """Yield the statements of ``data.<package>`` with a condition or an order, by module and name."""
    folder = importlib.import_module(f"data.{package}").__path__
    for module in pkgutil.iter_modules(folder, f"data.{package}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement) and re.search(r"^(?!INSERT)(?s:.*)\s(WHERE|ORDER BY)\s", str(value)):
                yield f"{module.name.removeprefix('data.')}.{name}", value
    if package == "shop":
        yield from queries("kit")  # the messaging tables are the same in all services
        filters = itertools.product(("", "category"), ("", "in_stock", "out_of_stock"), ("", "max_price"))
        for chosen in (tuple(filter(None, names)) for names in filters):
            yield f"shop.products._catalogue({', '.join(chosen)})", products._catalogue(*chosen)


def plans(connection: psycopg.Connection, statement: Statement, values: Mapping[str, list[Any]]) -> Iterator[Any]:
    """Yield the final plan of the server, with its costs, for each combination of the values.

    A statement that writes is planned once and not executed.
    """
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", str(statement))))
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", str(statement))
    connection.execute("DEALLOCATE ALL")
    connection.execute(f"PREPARE tried AS {text}".encode())
    fixed = {name: [value] for name, value in statement.constants.items()}
    combinations = itertools.product(*({**values, **fixed}.get(name, [None]) for name in names))
    writes = text.startswith("UPDATE") or "INSERT INTO" in text
    explain = SQL("EXPLAIN (FORMAT JSON) {}" if writes else "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}")
    for each in itertools.islice(combinations, 1 if writes else None):
        call = SQL("EXECUTE tried ({})" if each else "EXECUTE tried").format(SQL(", ").join(map(Literal, each)))
        for _ in range(CUSTOM_PLANS + 1):
            connection.execute(SQL("EXPLAIN {}").format(call))
        answer = connection.execute(explain.format(call)).fetchone()
        assert answer is not None
        yield answer[0][0]["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    """Yield all nodes of a plan."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def faults(plan: Any, expected: Expected) -> Iterator[str]:
    """Yield the differences from the expected plan."""
    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    if not used <= set(expected.indexes) or (not used and expected.full_scan is None):
        yield f"by {', '.join(sorted(used)) or 'no index'} instead of {', '.join(expected.indexes)}"
    for node in nodes(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] != expected.full_scan:
            yield f"reads all of {node['Relation Name']}"
        if "Sort" in node["Node Type"] and (row_count := node["Plans"][0].get("Actual Rows", 0)) > MAX_SORTED:
            yield f"sorts {row_count:.0f} rows"
    changing = plan
    if plan["Node Type"] == "ModifyTable":
        changing = next(part for part in plan["Plans"] if part["Parent Relationship"] != "InitPlan")
    rows = max(plan.get("Actual Rows", 0), changing.get("Actual Rows", 0))
    blocks = plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0)
    if blocks > 10 + expected.blocks * rows:
        yield f"touches {blocks} blocks for {rows:.0f} rows"


def test_every_query_has_an_expected_plan() -> None:
    assert {name for service in SERVICES for name, _ in queries(service)} == set(PLANS)


@pytest.mark.parametrize("service", SERVICES)
def test_queries_over_many_rows_use_an_index(service_urls: dict[str, str], service: str) -> None:
    found: list[str] = []
    # The driver must not prepare statements: those prepared here explicitly are dropped again.
    with (
        filled(service_urls[service], service, ROWS) as url,
        psycopg.connect(url, prepare_threshold=None) as connection,
    ):
        for name, statement in queries(service):
            expected = PLANS[name]
            assert expected.values.keys() <= VALUES.keys(), name
            for plan in plans(connection, statement, {**VALUES, **expected.values}):
                found.extend(f"{name}: {fault}" for fault in faults(plan, expected))
        connection.rollback()
    assert found == []
