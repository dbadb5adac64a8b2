"""What must be true once a disturbed stack has come to rest, read from its databases and its topics."""

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
from tests.services.disks import BALLAST
from tests.services.intervals import Interval, length_within, percentiles
from tests.services.progress import lags
from tests.services.stack import Stack
from tests.services.traffic import Ledger, Order, reached

MESSAGING = tuple(service for service in SERVICES if service != "identity")
LEAST_PRICED = 0.95
"""Of the submitted orders: a run in which fewer could be priced says nothing about the others."""
_QUIET_LOOKS = 3


@dataclass
class Audit:
    """``findings``: what is wrong, a line each; none is well. ``counted``: figures for the report.

    ``waits``: from submission to price of each order, and how many seconds of it were no outage.
    """

    findings: list[str] = field(default_factory=list)
    counted: dict[str, Any] = field(default_factory=dict)
    waits: list[tuple[Interval, float]] = field(default_factory=list)

    def expect(self, holds: bool, finding: str) -> None:
        """Note ``finding`` unless ``holds``."""
        if not holds:
            self.findings.append(finding)


class Databases:
    """The services' databases, read as their owners."""

    def __init__(self, stack: Stack) -> None:
        self._urls = stack.database_urls()

    def rows(self, service: str, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self._open(service) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def count(self, service: str, query: LiteralString) -> int:
        """A query's one number."""
        return int(self.rows(service, query)[0][0])

    @contextmanager
    def _open(self, service: str) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self._urls[service], autocommit=True, connect_timeout=5) as connection:
            yield connection


def come_to_rest(stack: Stack, within_s: float) -> list[str]:
    """Wait until nothing is under way and all parts are well; gives what still is when the time is over."""
    deadline, quiet = time.monotonic() + within_s, 0
    while quiet < _QUIET_LOOKS:
        try:
            busy = _under_way(stack)
        except (psycopg.OperationalError, KafkaError, OSError) as error:
            busy = [f"not back yet: {type(error).__name__} {error}"]
        quiet = 0 if busy else quiet + 1
        if busy and time.monotonic() > deadline:
            return busy
        time.sleep(0.5)
    status = stack.status()
    while not status["healthy"]:
        if time.monotonic() > deadline:
            return [f"{part['name']} is not well" for part in status["parts"] if not part["healthy"]]
        time.sleep(0.5)
        status = stack.status()
    return []


def _under_way(stack: Stack) -> list[str]:
    databases = Databases(stack)
    counts = {f"outbox of {service}": databases.count(service, "SELECT count(*) FROM outbox") for service in MESSAGING}
    counts["unfinished quotes"] = databases.count("pricing", "SELECT count(*) FROM quotes WHERE finished_at IS NULL")
    counts |= {f"events parked by {service}": count for service, count in parked_events(databases).items()}
    counts |= {f"messages before {name}": behind for name, behind in asyncio.run(lags(stack.kafka)).items()}
    return [f"{what}: {count}" for what, count in counts.items() if count]


def audit(stack: Stack, ledger: Ledger, orders_before: int, outages: Sequence[Interval] = ()) -> Audit:
    """Compare what was acknowledged with what is there.

    ``orders_before``: how many the shop had when all began. ``outages``: disjoint times at which something that a
    price needs was away; they are taken out of the waits for it.
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
    """Events that wait for another event, of each service."""
    return {service: databases.count(service, "SELECT count(*) FROM parked") for service in MESSAGING}


def models(found: Audit, databases: Databases, ledger: Ledger, store: Path) -> None:
    """Every object is what its name says, and every model that an order was acknowledged to have is there."""
    objects: dict[str, int] = {}
    for path in store.iterdir():
        if not path.name.startswith(("incoming-", BALLAST)):
            content = path.read_bytes()
            objects[path.stem] = len(content)
            whole = hashlib.sha256(content).hexdigest() == path.stem
            found.expect(whole, f"the object {path.name} of {len(content)} bytes is not what its name says")
    rows = databases.rows("shop", "SELECT id, model_sha256 FROM orders WHERE id = ANY(%s)", list(ledger.orders))
    models = {str(ident): sha256 for ident, sha256 in rows}
    for ident, order in ledger.orders.items():
        if reached(order.acknowledged, "FILE_UPLOADED"):
            found.expect(models.get(ident) in objects, f"{ident}: its model {models.get(ident)} is not in the store")
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
    made = databases.count("shop", "SELECT count(*) FROM orders") - orders_before
    lost = [ident for ident in ours if ident not in in_shop]
    found.counted |= {"orders_acknowledged": len(ours), "orders_lost": len(lost), "orders_in_shop": made}
    found.expect(not lost, f"orders were acknowledged and are not there: {lost}")
    # What was given up may have been made without its maker having heard of it.
    spare = len(ledger.given_up)
    split: list[str] = []
    twice: list[str] = []
    given_up = " ".join(ledger.given_up)
    found.expect(made <= len(ours) + spare, f"{made} orders were made, and {len(ours)} were asked for")
    for ident, order in ledger.orders.items():
        status = in_status.get(ident)
        statuses = [status for status, *_ in lines[ident]]
        told = {
            name: where.get(ident)
            for name, where in (
                ("shop", in_shop),
                ("crm", in_crm),
                ("status", in_status),
                # Of other people's orders the partners' service keeps no more than that they are not theirs.
                *((("partners", in_partners),) if order.who == "partner" else ()),
                *((("mes", in_mes),) if "MANUFACTURING_APPROVED" in statuses else ()),
            )
        }
        complete = ident not in given_up
        if len(set(told.values())) > 1 and "SUBMITTED" in statuses:
            split.append(ident)
            found.findings.append(f"{ident}: services disagree: {told}")
        found.expect(
            status is not None and reached(status, order.acknowledged),
            f"{ident}: {order.acknowledged} was acknowledged, and it is {status}: {statuses}",
        )
        found.expect(not complete or status == _goal(order), f"{ident}: should be {_goal(order)}, and is {status}")
        found.expect(
            quotes[ident] == statuses.count("SUBMITTED"),
            f"{ident}: {statuses.count('SUBMITTED')} submissions, {quotes[ident]} quotes",
        )
        if not _history(found, order, lines[ident]):
            twice.append(ident)
        found.expect(
            [status for status, *_ in shop_lines[ident]] == statuses,
            f"{ident}: the shop's history differs: {[status for status, *_ in shop_lines[ident]]} and {statuses}",
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
    """Count what the orders came through; a run that priced too few of them, or shipped none, is a finding.

    ``lines``: of each order its history.
    """
    histories = [{status for status, *_ in each} for each in lines.values()]
    submitted = sum("SUBMITTED" in each for each in histories)
    priced = sum("PRICE_CALCULATED" in each for each in histories)
    shipped = sum("SHIPPED" in each for each in histories)
    found.counted |= {"orders_submitted": submitted, "orders_priced": priced, "orders_shipped": shipped}
    found.expect(
        submitted > 0 and priced >= LEAST_PRICED * submitted,
        f"the run shows little: {priced} of {submitted} submitted orders were priced",
    )
    found.expect(shipped > 0, "the run shows little: no order was carried on until it was shipped")


def _history(found: Audit, order: Order, lines: list[tuple[str, datetime, Any]]) -> bool:
    """Whether nothing of the order's history happened twice."""
    events = [event for *_, event in lines]
    found.expect(len(set(events)) == len(events), f"{order.ident}: an event made two lines of the history: {lines}")
    counts = Counter(status for status, *_ in lines)
    most = {"SUBMITTED": 1 + counts["PRICE_FAILED"]}
    again = {status: count for status, count in counts.items() if count > most.get(status, 1)}
    found.expect(not again, f"{order.ident}: lines of the history came twice: {again}")
    return len(set(events)) == len(events) and not again


def _topics(found: Audit, databases: Databases, messages: Mapping[str, list[tuple[CloudEvent, bytes]]]) -> None:
    contents: dict[str, bytes] = {}
    numbers: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    twice = 0
    for topic, events in messages.items():
        newest: dict[tuple[str, str], int] = {}
        for event, value in events:
            ident, stream = str(event.id), (event.source, event.subject)
            if ident in contents:
                twice += 1
                found.expect(contents[ident] == value, f"event {ident} came twice with different content")
                continue
            contents[ident] = value
            other = numbers[stream].setdefault(event.sequence, ident)
            found.expect(other == ident, f"events {other} and {ident} of {stream} are both number {event.sequence}")
            found.expect(
                event.sequence > newest.get(stream, 0),
                f"{topic}: number {event.sequence} of {stream} came after number {newest.get(stream)}",
            )
            newest[stream] = event.sequence
    for stream, known in numbers.items():
        missing = set(range(1, max(known) + 1)) - known.keys()
        found.expect(not missing, f"{stream} has gaps: {sorted(missing)}")
    for service in MESSAGING:
        for source, subject, last in databases.rows(service, "SELECT source, subject, last FROM outbox_sequences"):
            published = max(numbers[source, subject], default=0)
            found.expect(published == last, f"{(source, subject)}: {last} events were made and {published} published")
    found.counted |= {"events": len(contents), "events_published_twice": twice, "event_streams": len(numbers)}


async def _messages(bootstrap: str) -> dict[str, list[tuple[CloudEvent, bytes]]]:
    """All events by topic; each subject's in the order of the topic, for they share a partition."""
    found: dict[str, list[tuple[CloudEvent, bytes]]] = {topic: [] for topic in TOPICS}
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with kafka.started(reader):
        places = await kafka.partitions(bootstrap, TOPICS)
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        ends = await reader.end_offsets(places)
        while any([await reader.position(place) < ends[place] for place in places]):
            for place, messages in (await reader.getmany(timeout_ms=200)).items():
                found[place.topic] += [
                    (CloudEvent.model_validate_json(message.value), message.value) for message in messages
                ]
    return found


def _goal(order: Order) -> str:
    return "SHIPPED" if order.carried else "PRICE_CALCULATED"


def _statuses(rows: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    return {str(ident): status for ident, status in rows}


def _lines(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[str, datetime, Any]]]:
    found: dict[str, list[tuple[str, datetime, Any]]] = defaultdict(list)
    for ident, status, at, event in rows:
        found[str(ident)].append((status, at, event))
    return found


def _waits(histories: Iterable[list[tuple[str, datetime, Any]]]) -> list[Interval]:
    """From submission to price (seconds since the epoch), of all orders that have one."""
    waits = []
    for lines in histories:
        at = {status: when for status, when, _ in lines}
        if "PRICE_CALCULATED" in at:
            waits.append((at["SUBMITTED"].timestamp(), at["PRICE_CALCULATED"].timestamp()))
    return waits
