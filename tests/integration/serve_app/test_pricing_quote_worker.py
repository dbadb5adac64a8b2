"""The worker between the queue of quotes and the dispatcher: it continues whatever finishes, and whenever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from data.kit.database import Database
from data.model_store.store import ModelStore
from data.pricing import repository
from pricing_engine.distributed.jobs import JobOutcome, JobStatus
from serve_app.pricing.quote_worker import QuoteWorker
from tests.support.databases import while_running
from tests.support.quote_jobs import MODEL, SHA, Jobs, Slow, add_quote
from tests.support.waiting import until

Migrated = Callable[[str], str]


async def ended(database: Database, quote: UUID) -> bool:
    async with database.connection() as connection:
        found = await repository.get(connection, quote)
    return found is not None and found.finished_at is not None


async def test_quotes_that_finish_during_a_poll_do_not_stop_the_worker(migrated: Migrated, tmp_path: Path) -> None:
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


async def test_the_job_of_a_cancelled_quote_is_cancelled(migrated: Migrated, tmp_path: Path) -> None:
    jobs = Jobs()

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
    assert len(jobs.cancelled) == 1
