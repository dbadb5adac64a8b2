"""Every query of every service over a million rows: by the indexes named here, over few blocks, sorting little.

``FACET_TEST_ROWS`` makes it fewer rows, for whoever works on this.
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

from benchmarks.databases import BUSY, MANY, QUIET, filled, row_id
from data.contracts.common import Priority
from data.contracts.lifecycle import OrderStatus
from data.contracts.topics import CONSUMERS
from data.kit import clock, idempotency, inbox, relay
from data.kit.paging import START
from data.kit.parking import MOST_COUNTED
from data.kit.settings import SERVICES
from data.kit.sql import Statement
from data.shop import products

ROWS = int(os.environ.get("FACET_TEST_ROWS", MANY))
CUSTOM_PLANS = 5
"""So often PostgreSQL plans a prepared statement for the values given, before it considers one plan for all."""
MOST_SORTED = 500
NOW, SOME = clock.now(), row_id(ROWS // 200)
VALUES: dict[str, list[Any]] = {
    **{name: [SOME] for name in ("id", "order_id", "user_id", "task_id", "delivery_id", "quote_id", "product_id")},
    **{name: [SOME] for name in ("webhook_id", "key_id", "partner_id")},
    **{name: [NOW] for name in ("before", "now", "at", "until")},
    "after_at": [START.created_at, NOW - timedelta(182)],
    "after_id": [row_id(1)],
    "after": [NOW - timedelta(400)],
    "most": [51],
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
    "order_ids": [[SOME], [row_id(n) for n in range(ROWS // 200, ROWS // 200 + 16)]],
    "share": [20],
    "wait_ms": [ROWS // 2],
    "wait": [timedelta(seconds=5)],
    "consumers": [list(CONSUMERS)],
    "consumer": ["shop"],
    "subject": ["order-77"],
    "subjects": [["order-77", "order-78"]],
    "event_id": [SOME],
    "row": [77],
    "last": [ROWS],
    "ids": [[]],
}
"""Parameter -> what it is in turn; one that is written and not looked for is null."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How a statement is to be run.

    ``indexes``: those that it may use; at least one it does. ``blocks``: so many (of 8 KiB) it may touch for each row
    that it gives or changes. ``whole``: a table that it reads from end to end. ``values``: in place of ``VALUES``.
    """

    indexes: tuple[str, ...]
    blocks: int = 3
    whole: str | None = None
    values: Mapping[str, list[Any]] = field(default_factory=dict)


def by(*indexes: str, blocks: int = 3, whole: str | None = None, **values: list[Any]) -> Expected:
    """What is expected, in short."""
    return Expected(indexes, blocks, whole, values)


OLD = NOW - timedelta(360)
PLANS: dict[str, Expected] = {
    "shop.repository._GET": by("pk_orders"),
    "shop.repository._LOCK": by("pk_orders"),
    # The table of operating clocks has a row.
    "shop.repository._MOVE": by("pk_orders", whole="operating_clocks"),
    "shop.repository._MOVE_AND_TELL": by("pk_orders", whole="operating_clocks"),
    "shop.repository._HISTORY": by("pk_order_history"),
    "shop.repository._OF_OWNER": by("ix_orders_owner"),
    "shop.repository._OVERDUE": by("ix_orders_waiting", whole="operating_clocks"),
    "shop.products._GET": by("pk_products"),
    "shop.products._EDIT": by("pk_products"),
    # A filter that no index begins with is asked of each product on the way: the rows it refuses are read too.
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
    "kit.idempotency._FIRST": by("pk_idempotency_keys"),
    "kit.idempotency._ANSWER": by("pk_idempotency_keys"),
    "kit.idempotency._SWEEP": by("ix_idempotency_keys_created_at", now=[OLD + idempotency.KEEP]),
    "kit.inbox._SWEEP": by("ix_inbox_received_at", "pk_inbox", now=[OLD + inbox.KEEP]),
    # It stops at the first row that the consumer has parked, here the first of all.
    "kit.inbox._RECORD": by("ix_parked_subject", "ix_parked_undecided", "pk_parked", whole="parked"),
    "kit.parking._AMONG": by("ix_parked_subject"),
    "kit.parking._OF_SUBJECT": by("ix_parked_subject"),
    "kit.parking._REMOVE": by("pk_parked"),
    "kit.parking._REFUSE": by("pk_parked"),
    "kit.parking._FORGET": by("pk_inbox"),
    # Nearly all rows here are undecided: the primary key gives the last and the oldest as fast.
    "kit.parking._LAST": by("ix_parked_undecided", "pk_parked"),
    "kit.parking._SUBJECTS": by("ix_parked_undecided", "pk_parked", most=[100]),
    "kit.parking._UNREACHABLE": by("ix_parked_subject", blocks=16),
    # It counts no further than MOST_COUNTED.
    "kit.parking._COUNT": by(
        *("ix_parked_subject", "ix_parked_unreachable", "ix_parked_undecided"), whole="parked", blocks=MOST_COUNTED
    ),
    "kit.parking._LIST": by("pk_parked", after=[0]),
    # A view over the server's own memory.
    "kit.group_membership._HELD": by(whole="pg_locks"),
    "kit.relay._FIRST": by("pk_outbox"),
    "kit.relay._TAKE": by("pk_outbox", blocks=7, most=[relay.BATCH]),
    "pricing.repository._GET": by("pk_quotes"),
    "pricing.repository._START": by("pk_quotes"),
    "pricing.repository._PROGRESS": by("pk_quotes"),
    "pricing.repository._FINISH": by("pk_quotes"),
    "pricing.repository._OF_OWNER": by("ix_quotes_owner"),
    "pricing.repository._UNFINISHED": by("ix_quotes_unfinished"),
    "pricing.repository._HAS_MODEL": by("ix_quotes_model"),
    "crm.repository._GET": by("pk_orders"),
    "crm.repository._LOCK": by("pk_orders"),
    "crm.repository._SAVE": by("pk_orders", whole="operating_clocks"),
    "crm.repository._ALL": by("ix_orders_newest"),
    "crm.repository._WITH_STATUS": by("ix_orders_status", "ix_orders_newest"),
    "crm.repository._EXPIRED": by("ix_orders_expiring", whole="operating_clocks"),
    "mes.repository._GET": by("pk_tasks"),
    "mes.repository._LOCK": by("pk_tasks"),
    "mes.repository._CLAIM": by("pk_tasks"),
    "mes.repository._SAVE": by("pk_tasks"),
    "mes.repository._IS_WITHDRAWN": by("pk_withdrawn"),
    "mes.repository._ALL": by("ix_tasks_newest"),
    "mes.repository._WITH_STATUS": by("ix_tasks_status", "ix_tasks_newest"),
    "mes.repository._OF_OPERATOR": by("ix_tasks_operator"),
    "status.repository._GET": by("pk_orders"),
    "status.repository._SHOWN": by("pk_orders", "pk_history", blocks=6),
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
    "partners.repository._WANTING": by("ix_webhooks_partner_id"),
    "partners.repository._EDIT": by("pk_webhooks"),
    "partners.repository._DELETE": by("pk_webhooks", "ix_webhooks_partner_id"),
    "partners.repository._DEACTIVATE": by("pk_webhooks"),
    # It looks at each webhook once: what it costs grows with the webhooks, not with the deliveries.
    "partners.deliveries._LEASE": by(
        *("ix_deliveries_due", "ix_deliveries_order", "pk_deliveries", "pk_webhooks"),
        whole="webhooks",
        blocks=ROWS // 1000,
    ),
    "partners.deliveries._DELIVERED": by("pk_deliveries"),
    "partners.deliveries._GIVE_UP": by("pk_deliveries"),
    "partners.deliveries._LATER": by("pk_deliveries"),
    "partners.deliveries._UNCOUNT": by("pk_deliveries"),
    "partners.deliveries._AGAIN": by("pk_deliveries", "pk_webhooks", "ix_webhooks_partner_id"),
    "partners.deliveries._LIST": by("ix_deliveries_newest"),
    "partners.deliveries._ATTEMPTS": by("pk_attempts"),
    "partners.deliveries._OWNED": by("pk_deliveries", "pk_webhooks", "ix_webhooks_partner_id"),
    "identity.repository._GET": by("pk_users"),
    "identity.repository._BY_NAME": by("uq_users_username"),
    "identity.repository._REHASH": by("pk_users"),
    "identity.repository._CLIENT": by("pk_clients"),
}


def looking(package: str) -> Iterator[tuple[str, Statement]]:
    """The statements of ``data.<package>`` that look for something, by module and name."""
    folder = importlib.import_module(f"data.{package}").__path__
    for module in pkgutil.iter_modules(folder, f"data.{package}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement) and re.search(r"^(?!INSERT)(?s:.*)\s(WHERE|ORDER BY)\s", str(value)):
                yield f"{module.name.removeprefix('data.')}.{name}", value
    if package == "shop":
        yield from looking("kit")  # the tables that every service has are the same in all of them
        filters = itertools.product(("", "category"), ("", "in_stock", "out_of_stock"), ("", "max_price"))
        for chosen in (tuple(filter(None, names)) for names in filters):
            yield f"shop.products._catalogue({', '.join(chosen)})", products._catalogue(*chosen)


def plans(connection: psycopg.Connection, statement: Statement, given: Mapping[str, list[Any]]) -> Iterator[Any]:
    """The plan that the server has settled on, and what it took, for each combination of the values given.

    One that writes what it is given is planned once and not run.
    """
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", str(statement))))
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", str(statement))
    connection.execute("DEALLOCATE ALL")
    connection.execute(f"PREPARE tried AS {text}".encode())
    fixed = {name: [value] for name, value in statement.given.items()}
    combinations = itertools.product(*({**given, **fixed}.get(name, [None]) for name in names))
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
    """All nodes of a plan."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def faults(plan: Any, expected: Expected) -> Iterator[str]:
    """What is not as expected."""
    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    if not used <= set(expected.indexes) or (not used and expected.whole is None):
        yield f"by {', '.join(sorted(used)) or 'no index'} instead of {', '.join(expected.indexes)}"
    for node in nodes(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] != expected.whole:
            yield f"reads all of {node['Relation Name']}"
        if "Sort" in node["Node Type"] and (most := node["Plans"][0].get("Actual Rows", 0)) > MOST_SORTED:
            yield f"sorts {most:.0f} rows"
    changing = plan
    if plan["Node Type"] == "ModifyTable":
        changing = next(part for part in plan["Plans"] if part["Parent Relationship"] != "InitPlan")
    rows = max(plan.get("Actual Rows", 0), changing.get("Actual Rows", 0))
    blocks = plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0)
    if blocks > 10 + expected.blocks * rows:
        yield f"touches {blocks} blocks for {rows:.0f} rows"


def test_every_query_has_its_plan_written_here() -> None:
    assert {name for service in SERVICES for name, _ in looking(service)} == set(PLANS)


@pytest.mark.parametrize("service", SERVICES)
def test_queries_over_a_million_rows_go_by_an_index(service_urls: dict[str, str], service: str) -> None:
    found: list[str] = []
    # The driver must prepare nothing itself: what is prepared here by hand is dropped again.
    with (
        filled(service_urls[service], service, ROWS) as url,
        psycopg.connect(url, prepare_threshold=None) as connection,
    ):
        for name, statement in looking(service):
            expected = PLANS[name]
            for plan in plans(connection, statement, {**VALUES, **expected.values}):
                found.extend(f"{name}: {fault}" for fault in faults(plan, expected))
        connection.rollback()
    assert found == []
