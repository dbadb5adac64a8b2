"""Helpers of tests with databases and topics: events, background tasks for a time, and the messages of a topic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from aiokafka import AIOKafkaConsumer

from data.contracts.common import OrderRequest
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.registry import EVENTS
from data.contracts.shop import OrderCancelled, OrderInitiated
from data.kit import kafka
from data.kit.database import Database

Result = TypeVar("Result")


def cancelled(topic: str, order: UUID, reason: str = "test") -> EventData:
    """Return an event of a registered type, to be published in ``topic``."""
    variant = type("OrderCancelled", (OrderCancelled,), {"TOPIC": topic, "__module__": __name__})
    event: EventData = variant(order_id=order, by="tester", reason=reason)
    return event


@dataclass(slots=True)
class Delivered:
    """A message as Kafka delivers it."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


def message_of(event: CloudEvent) -> Delivered:
    """Return an event as a message of its topic."""
    return Delivered(EVENTS[event.type].topics[0], event.model_dump_json().encode(), event.subject.encode())


def initiated(order: UUID, owner: str, request: OrderRequest) -> OrderInitiated:
    """Return the event of a new order."""
    return OrderInitiated(order_id=order, owner_id=owner, by=owner, revision=1, **request.model_dump())


async def set_operating_time(database: Database, name: str, elapsed_ms: int) -> None:
    """Set the operating clock ``name``."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO operating_clocks VALUES (%s, %s, now()) ON CONFLICT (name) DO UPDATE SET elapsed_ms = %s",
            [name, elapsed_ms, elapsed_ms],
        )


async def while_running(*services: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of ``work`` while endless services run; cancel them afterwards."""
    running = [asyncio.create_task(service) for service in services]
    doing = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait([doing, *running], return_when=asyncio.FIRST_COMPLETED)
        for failed in done - {doing}:
            await failed
        return await doing
    finally:
        for task in (doing, *running):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def read_topic(bootstrap: str, topic: str) -> Sequence[kafka.Message]:
    """Return all messages of a topic, each partition in its order."""
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with kafka.started(reader):
        partitions = await kafka.partitions(bootstrap, [topic])
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        ends = await reader.end_offsets(partitions)
        found: list[kafka.Message] = []
        while any([await reader.position(partition) < ends[partition] for partition in partitions]):
            for messages in (await reader.getmany(timeout_ms=200)).values():
                found.extend(messages)
        return found


def sequences(messages: Sequence[kafka.Message]) -> dict[str, list[int]]:
    """Return for each subject the sequences in the order of the topic."""
    found: dict[str, list[int]] = {}
    for message in messages:
        event = json.loads(message.value or b"")
        found.setdefault(event["subject"], []).append(event["sequence"])
    return found
