"""A dispatcher and a publisher that a test controls, for the worker of quotes."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from data.contracts import shop
from data.kit.database import Database
from data.kit.ids import new_id
from data.notifications.pubsub import Publisher
from data.pricing import repository
from pricing_engine.distributed.jobs import Job, JobOutcome, JobStatus, JobUpdate
from tests.support import event_examples as examples

MODEL = b"solid nothing\nendsolid\n"
SHA = hashlib.sha256(MODEL).hexdigest()


class Slow(Publisher):
    """A publisher that takes about as long as the worker takes to poll its queue."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1", "test")

    async def publish(self, keys: Iterable[str]) -> None:
        await asyncio.sleep(0.005 * random.random())


@dataclass
class Jobs:
    """A dispatcher whose jobs end when the test sets their outcomes."""

    outcomes: dict[str, asyncio.Future[JobOutcome]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    def follow(self, job: Job) -> _Job:
        return _Job(self.outcomes.setdefault(job.job_id, asyncio.get_running_loop().create_future()))

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    async def unfinished(self) -> list[str]:
        return self.running


@dataclass
class _Job:
    end: asyncio.Future[JobOutcome]

    async def outcome(self) -> JobOutcome:
        return await asyncio.shield(self.end)

    async def updates(self) -> AsyncIterator[JobUpdate]:
        await asyncio.shield(self.end)
        yield JobUpdate(1, JobStatus.RUNNING, 1.0)


async def add_quote(database: Database, sha256: str) -> UUID:
    """Add a quote to the queue."""
    example = next(each for each in examples.EVENTS if isinstance(each, shop.QuoteRequested)).model_dump()
    request = shop.QuoteRequested.model_validate({**example, "quote_id": new_id(), "model_sha256": sha256})
    async with database.transaction() as connection:
        assert await repository.create(connection, request)
    return request.quote_id
