"""Audit of a disturbed stack once it is idle: compare its databases and topics with what was acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from cluster.local.state import Folder
from data.contracts.envelope import CloudEvent
from data.contracts.topics import CONSUMERS, TOPICS
from data.kit import dead_letters, kafka
from data.kit.settings import SERVICES
from tests.support.chaos.intervals import Interval, length_within, percentiles
from tests.support.chaos.progress import lags
from tests.support.chaos.traffic import Ledger, Order, reached
from tests.support.disks import BALLAST
from tests.support.stack import Stack

MESSAGING = tuple(service for service in SERVICES if service != "identity")
MIN_PRICED_SHARE = 0.95
"""Of the submitted orders: a run in which fewer were priced proves nothing about the others."""
_IDLE_POLLS = 3


@dataclass
class Audit:
    """``findings``: the faults, a line each. ``counted``: figures for the report.

    ``waits``: from submission to price of each order, and how many seconds of it were outside outages.
    """

    findings: list[str] = field(default_factory=list)
    counted: dict[str, Any] = field(default_factory=dict)
    waits: list[tuple[Interval, float]] = field(default_factory=list)

    def expect(self, holds: bool, finding: str) -> None:
        """Add ``finding`` unless ``holds``."""
        if not holds:
            self.findings.append(finding)


class Databases:
    """The services' databases, read with the roles of their owners."""

    def __init__(self, stack: Stack) -> None:
        self._urls = stack.database_urls()

    def rows(self, service: str, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._open(service) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def count(self, service: str, query: LiteralString) -> int:
        """Return the single number of a query."""
        return int(self.rows(service, query)[0][0])

    @contextmanager
    def _open(self, service: str) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self._urls[service], autocommit=True, connect_timeout=5) as connection:
            yield connection


def wait_until_idle(stack: Stack, within_s: float) -> list[str]:
    """Wait until no work is pending and all parts are healthy; return what is not at the deadline."""
    deadline, quiet = time.monotonic() + within_s, 0
    while quiet < _IDLE_POLLS:
        try:
            busy = _pending_work(stack)
        except (psycopg.OperationalError, KafkaError, OSError) as error:
            busy = [f"not reachable yet: {type(error).__name__} {error}"]
        quiet = 0 if busy else quiet + 1
        if busy and time.monotonic() > deadline:
            return busy
        time.sleep(0.5)
    status = stack.status()
    while not status["healthy"]:
        if time.monotonic() > deadline:
            return [f"{part['name']} is not healthy" for part in status["parts"] if not part["healthy"]]
        time.sleep(0.5)
        status = stack.status()
    return []


def _pending_work(stack: Stack) -> list[str]:
    databases = Databases(stack)
    counts = {f"outbox of {service}": databases.count(service, "SELECT count(*) FROM outbox") for service in MESSAGING}
    counts["unfinished quotes"] = databases.count("pricing", "SELECT count(*) FROM quotes WHERE finished_at IS NULL")
    counts |= {f"events parked by {service}": count for service, count in parked_events(databases).items()}
    counts |= {f"messages before {name}": behind for name, behind in asyncio.run(lags(stack.kafka)).items()}
    return [f"{what}: {count}" for what, count in counts.items() if count]


def audit(stack: Stack, ledger: Ledger, orders_before: int, outages: Sequence[Interval] = ()) -> Audit:
    """Compare what was acknowledged with what is stored.

    ``orders_before``: how many orders the shop had at the start. ``outages``: disjoint times at which a part that a
    price needs was unavailable; they are subtracted from the waits.
    """
    found, databases = Audit(), Databases(stack)
    _orders(found, databases, ledger, orders_before, outages)
    models(found, databases, ledger, Folder(stack.folder / ".facet" / "stack").data / "models")
    _topics(found, databases, asyncio.run(_messages(stack.kafka)))
    letters = asyncio.run(dead_letters.count_pending(stack.kafka, CONSUMERS))
    found.counted["dead_letters"] = sum(letters.values())
    found.expect(not any(letters.values()), f"dead letters: {letters}")
    parked = parked_events(databases)
    found.counted["parked_events_left"] = sum(parked.values())
    found.expect(not any(parked.values()), f"parked events are left: {parked}")
    return found


def parked_events(databases: Databases) -> dict[str, int]:
    """Return the number of parked events of each service."""
    return {service: databases.count(service, "SELECT count(*) FROM parked") for service in MESSAGING}


def models(found: Audit, databases: Databases, ledger: Ledger, store: Path) -> None:
    """Check that every object has the hash in its name, and that every model of an acknowledged order exists."""
    objects: dict[str, int] = {}
    for path in store.iterdir():
        if not path.name.startswith(("incoming-", BALLAST)):
            content = path.read_bytes()
            objects[path.stem] = len(content)
            complete = hashlib.sha256(content).hexdigest() == path.stem
            found.expect(complete, f"the object {path.name} of {len(content)} bytes does not have the hash in its name")
    rows = databases.rows("shop", "SELECT id, model_sha256 FROM orders WHERE id = ANY(%s)", list(ledger.orders))
    models = {str(order_id): sha256 for order_id, sha256 in rows}
    for order_id, order in ledger.orders.items():
        if reached(order.acknowledged, "FILE_UPLOADED"):
            found.expect(
                models.get(order_id) in objects, f"{order_id}: its model {models.get(order_id)} is not in the store"
            )
    used = Counter(sha256 for sha256 in models.values() if sha256)
    again = {sha256: count for sha256, count in used.items() if count > 1}
    found.expect(not again, f"orders share a model, so a cache may have priced them: {again}")
    found.counted["models"] = len(used)


def _orders(
    found: Audit, databases: Databases, ledger: Ledger, orders_before: int, outages: Sequence[Interval]
) -> None:
    ours = list(ledger.orders)
    in_shop = _statuses(databases.rows("shop", "SELECT id, status FROM orders WHERE id = ANY(%s)", ours))
    in_crm = _statuses(databases.rows("crm", "SELECT id, status FROM orders WHERE id = ANY(%s)", ours))
    in_mes = _statuses(databases.rows("mes", "SELECT id, status FROM tasks WHERE id = ANY(%s)", ours))
    in_status = _statuses(databases.rows("status", "SELECT id, status FROM orders WHERE id = ANY(%s)", ours))
    in_partners = _statuses(
        databases.rows("partners", "SELECT id, state->>'status' FROM orders WHERE id = ANY(%s)", ours)
    )
    quotes = Counter(
        str(order)
        for (order,) in databases.rows("pricing", "SELECT order_id FROM quotes WHERE order_id = ANY(%s)", ours)
    )
    lines = _lines(
        databases.rows(
            "status", "SELECT order_id, status, at, event_id FROM history WHERE order_id = ANY(%s) ORDER BY n", ours
        )
    )
    shop_lines = _lines(
        databases.rows(
            "shop", "SELECT order_id, status, at, n FROM order_history WHERE order_id = ANY(%s) ORDER BY n", ours
        )
    )
    created = databases.count("shop", "SELECT count(*) FROM orders") - orders_before
    lost = [order_id for order_id in ours if order_id not in in_shop]
    found.counted |= {"orders_acknowledged": len(ours), "orders_lost": len(lost), "orders_in_shop": created}
    found.expect(not lost, f"acknowledged orders do not exist: {lost}")
    # A request that was given up may have created its order without a response.
    spare = len(ledger.given_up)
    split: list[str] = []
    twice: list[str] = []
    given_up = " ".join(ledger.given_up)
    found.expect(created <= len(ours) + spare, f"{created} orders were created, and {len(ours)} were requested")
    for order_id, order in ledger.orders.items():
        status = in_status.get(order_id)
        statuses = [status for status, *_ in lines[order_id]]
        by_service = {
            name: where.get(order_id)
            for name, where in (
                ("shop", in_shop),
                ("crm", in_crm),
                ("status", in_status),
                # Of other customers' orders the partner service stores only that they have no partner.
                *((("partners", in_partners),) if order.who == "partner" else ()),
                *((("mes", in_mes),) if "MANUFACTURING_APPROVED" in statuses else ()),
            )
        }
        complete = order_id not in given_up
        if len(set(by_service.values())) > 1 and "SUBMITTED" in statuses:
            split.append(order_id)
            found.findings.append(f"{order_id}: services disagree: {by_service}")
        found.expect(
            status is not None and reached(status, order.acknowledged),
            f"{order_id}: {order.acknowledged} was acknowledged, and it is {status}: {statuses}",
        )
        found.expect(not complete or status == _goal(order), f"{order_id}: should be {_goal(order)}, and is {status}")
        found.expect(
            quotes[order_id] == statuses.count("SUBMITTED"),
            f"{order_id}: {statuses.count('SUBMITTED')} submissions, {quotes[order_id]} quotes",
        )
        if not _history(found, order, lines[order_id]):
            twice.append(order_id)
        found.expect(
            [status for status, *_ in shop_lines[order_id]] == statuses,
            f"{order_id}: the shop's history differs: {[status for status, *_ in shop_lines[order_id]]} and {statuses}",
        )
    found.counted |= {"orders_applied_twice": len(twice), "orders_split": len(split)}
    found.counted["status_of_orders"] = dict(Counter(str(status) for status in in_status.values()))
    coverage(found, lines)
    found.waits = [
        ((begin, end), end - begin - length_within((begin, end), outages)) for begin, end in _waits(lines.values())
    ]
    found.counted["submitted_to_price_s"] = percentiles(end - begin for (begin, end), _ in found.waits)
    found.counted["submitted_to_price_without_outages_s"] = percentiles(seconds for _, seconds in found.waits)


def coverage(found: Audit, lines: Mapping[str, list[tuple[str, datetime, Any]]]) -> None:
    """Count the statuses that the orders passed; a run that priced too few of them, or shipped none, is a finding.

    ``lines``: of each order its history.
    """
    histories = [{status for status, *_ in each} for each in lines.values()]
    submitted = sum("SUBMITTED" in each for each in histories)
    priced = sum("PRICE_CALCULATED" in each for each in histories)
    shipped = sum("SHIPPED" in each for each in histories)
    found.counted |= {"orders_submitted": submitted, "orders_priced": priced, "orders_shipped": shipped}
    found.expect(
        submitted > 0 and priced >= MIN_PRICED_SHARE * submitted,
        f"low coverage: {priced} of {submitted} submitted orders were priced",
    )
    found.expect(shipped > 0, "low coverage: no order was shipped")


def _history(found: Audit, order: Order, lines: list[tuple[str, datetime, Any]]) -> bool:
    """Return whether no entry of the order's history is repeated."""
    events = [event for *_, event in lines]
    found.expect(len(set(events)) == len(events), f"{order.order_id}: an event has two entries in the history: {lines}")
    counts = Counter(status for status, *_ in lines)
    limits = {"SUBMITTED": 1 + counts["PRICE_FAILED"]}
    again = {status: count for status, count in counts.items() if count > limits.get(status, 1)}
    found.expect(not again, f"{order.order_id}: repeated entries in the history: {again}")
    return len(set(events)) == len(events) and not again


def _topics(found: Audit, databases: Databases, messages: Mapping[str, list[tuple[CloudEvent, bytes]]]) -> None:
    contents: dict[str, bytes] = {}
    sequences: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    twice = 0
    for topic, events in messages.items():
        newest: dict[tuple[str, str], int] = {}
        for event, value in events:
            event_id, stream = str(event.id), (event.source, event.subject)
            if event_id in contents:
                twice += 1
                found.expect(
                    contents[event_id] == value, f"event {event_id} was published twice with different content"
                )
                continue
            contents[event_id] = value
            other = sequences[stream].setdefault(event.sequence, event_id)
            found.expect(other == event_id, f"events {other} and {event_id} of {stream} both have {event.sequence}")
            found.expect(
                event.sequence > newest.get(stream, 0),
                f"{topic}: sequence {event.sequence} of {stream} follows sequence {newest.get(stream)}",
            )
            newest[stream] = event.sequence
    for stream, published in sequences.items():
        missing = set(range(1, max(published) + 1)) - published.keys()
        found.expect(not missing, f"{stream} has gaps: {sorted(missing)}")
    for service in MESSAGING:
        for source, subject, last in databases.rows(service, "SELECT source, subject, last FROM outbox_sequences"):
            newest_sequence = max(sequences[source, subject], default=0)
            finding = f"{(source, subject)}: {last} events were written and {newest_sequence} published"
            found.expect(newest_sequence == last, finding)
    found.counted |= {"events": len(contents), "events_published_twice": twice, "event_streams": len(sequences)}


async def _messages(bootstrap: str) -> dict[str, list[tuple[CloudEvent, bytes]]]:
    """Return all events by topic; those of a subject in the order of the topic, since they share a partition."""
    found: dict[str, list[tuple[CloudEvent, bytes]]] = {topic: [] for topic in TOPICS}
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with kafka.started(reader):
        partitions = await kafka.partitions(bootstrap, TOPICS)
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        ends = await reader.end_offsets(partitions)
        while any([await reader.position(partition) < ends[partition] for partition in partitions]):
            for partition, messages in (await reader.getmany(timeout_ms=200)).items():
                found[partition.topic] += [
                    (CloudEvent.model_validate_json(message.value), message.value) for message in messages
                ]
    return found


def _goal(order: Order) -> str:
    return "SHIPPED" if order.carried else "PRICE_CALCULATED"


def _statuses(rows: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    return {str(order_id): status for order_id, status in rows}


def _lines(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[str, datetime, Any]]]:
    found: dict[str, list[tuple[str, datetime, Any]]] = defaultdict(list)
    for order_id, status, at, event in rows:
        found[str(order_id)].append((status, at, event))
    return found


def _waits(histories: Iterable[list[tuple[str, datetime, Any]]]) -> list[Interval]:
    """Return the times from submission to price (seconds since the epoch) of all priced orders."""
    waits = []
    for lines in histories:
        at = {status: when for status, when, _ in lines}
        if "PRICE_CALCULATED" in at:
            waits.append((at["SUBMITTED"].timestamp(), at["PRICE_CALCULATED"].timestamp()))
    return waits
