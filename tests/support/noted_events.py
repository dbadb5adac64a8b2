"""A consumer's effect that tests can count: a row for each event that it applied."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from aiokafka import AIOKafkaProducer

from data.contracts.envelope import CloudEvent, EventData
from data.kit import kafka
from data.kit.database import Connection


async def note(connection: Connection, event: CloudEvent, data: EventData) -> None:
    """Insert a row for the event, in the order of arrival: the effect of these tests."""
    await connection.execute(
        "INSERT INTO idempotency_keys (caller, key, body_sha256, created_at) VALUES (%s, %s, '', clock_timestamp())",
        [event.subject, f"{event.sequence:06}"],
    )


def noted(url: str) -> list[tuple[str, int]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT caller, key FROM idempotency_keys ORDER BY created_at").fetchall()
        return [(subject, int(sequence)) for subject, sequence in rows]


def has_noted(url: str, count: int) -> bool:
    """Return whether ``count`` events have their rows."""
    return len(noted(url)) >= count


async def publish(bootstrap: str, topic: str, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish messages (key, value), one after the other."""
    async with kafka.started(kafka.producer(bootstrap, "test")) as producer:
        assert isinstance(producer, AIOKafkaProducer)
        for future in [await producer.send(topic, value, key.encode()) for key, value in messages]:
            await future
