"""The worker between the queue of quotes and the dispatcher: it continues whatever finishes, and whenever."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from data.contracts import shop
from data.kit.database import Database
from data.kit.ids import new_id
from data.model_store.store import ModelStore
from data.notifications.pubsub import Publisher
from data.pricing import repository
from pricing_engine.distributed.jobs import Job, JobOutcome, JobStatus, JobUpdate
from serve_app.pricing.quote_worker import QuoteWorker
from tests.integration.data import conftest
from tests.support import event_examples as examples
from tests.support.databases import run, until, while_running

migrated, service_urls = conftest.migrated, conftest.service_urls

Migrated = Callable[[str], str]
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


async def ended(database: Database, quote: UUID) -> bool:
    async with database.connection() as connection:
        found = await repository.get(connection, quote)
    return found is not None and found.finished_at is not None


def test_quotes_that_finish_during_a_poll_do_not_stop_the_worker(migrated: Migrated, tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(migrated("pricing")) as database:
            worker = QuoteWorker(database, ModelStore(tmp_path.as_uri(), 1 << 20), Jobs(), Slow())

            async def quotes() -> None:
                for _ in range(20):  # of missing models: each ends as soon as the worker starts it
                    requested = [await add_quote(database, "0" * 64) for _ in range(10)]

                    async def all_ended(requested: list[UUID] = requested) -> bool:
                        worker.wake()
                        return all([await ended(database, quote) for quote in requested])

                    await until(all_ended, every_s=0.0)

            await while_running(worker.run(), work=quotes())

    run(main())


def test_the_job_of_a_cancelled_quote_is_cancelled(migrated: Migrated, tmp_path: Path) -> None:
    jobs = Jobs()

    async def main() -> None:
        store = ModelStore(tmp_path.as_uri(), 1 << 20)
        async with store.receive() as incoming:
            await incoming.write(MODEL)
            await store.save(incoming)
        async with Database(migrated("pricing")) as database:
            worker = QuoteWorker(database, store, jobs, Slow())

            async def cancelling() -> None:
                cancelled, active = [await add_quote(database, SHA) for _ in range(2)]
                await until(lambda: len(jobs.outcomes) == 2)
                async with database.transaction() as connection:
                    await repository.finish(connection, cancelled, repository.QuoteStatus.CANCELLED)
                worker.wake()
                await until(lambda: jobs.cancelled == [str(cancelled)])
                failed = JobOutcome(str(active), JobStatus.FAILED, code="worker_lost", message="a test")
                jobs.outcomes[str(active)].set_result(failed)
                await until(lambda: ended(database, active))

            await while_running(worker.run(), work=cancelling())

    run(main())
    assert len(jobs.cancelled) == 1
