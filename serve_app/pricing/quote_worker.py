"""The worker that submits queued quotes to the dispatcher on the cluster, follows them, and stores their outcomes.

The table of quotes is the queue: an unfinished quote is tracked or will be started, also after a restart. A job has the
id of its quote, so submitting it again is harmless, and a quote finishes once, in the transaction that also writes its
event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from data.contracts.common import Priority
from data.kit import outbox
from data.kit.database import UNAVAILABLE_ERRORS, Database
from data.model_store.store import ModelStore
from data.notifications.pubsub import Publisher
from data.pricing import repository
from data.pricing.repository import QuoteRow, QuoteStatus
from pricing_engine.distributed import jobs
from pricing_engine.distributed.errors import DistributedError
from pricing_engine.distributed.jobs import Job, JobOutcome, JobStatus
from pricing_engine.pricing.interval import Interval, price_interval
from pricing_engine.pricing.quote import Request
from serve_app.kit.price_book import price_book
from serve_app.pricing.dispatcher_client import DispatcherClient, FollowedJob
from serve_app.pricing.outcomes import QuoteOutcome, failed, outcome_of

POLL_INTERVAL_S = 0.5
_RETRY_DELAY_S = 2.0
_WATCH_AFTER_S = 0.1
"""Progress of jobs that finish sooner is not stored."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class QuoteWorker:
    """Follows every unfinished quote of ``database``; :meth:`wake` it when there are new ones."""

    database: Database
    models: ModelStore
    dispatcher: DispatcherClient
    publisher: Publisher
    _tracked: dict[UUID, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _cancellations: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Price the queue until cancelled."""
        orphans_cancelled = False
        try:
            while True:
                self._wake.clear()
                try:
                    if not orphans_cancelled:
                        await self._cancel_orphans()
                        orphans_cancelled = True
                    await self._start_queued()
                except UNAVAILABLE_ERRORS as error:
                    _log.warning("the quote worker waits for the database", error=str(error))
                try:
                    await asyncio.wait_for(self._wake.wait(), POLL_INTERVAL_S)
                except TimeoutError:
                    continue
        finally:
            for task in (*self._tracked.values(), *self._cancellations):
                task.cancel()

    async def _cancel_orphans(self) -> None:
        """Cancel the jobs of finished quotes: a worker that was killed may have had no time to do so."""
        for job_id in await self.dispatcher.unfinished():
            try:
                quote_id = UUID(job_id)
            except ValueError:
                continue  # not a job of ours
            async with self.database.connection() as connection:
                quote = await repository.get(connection, quote_id)
            if quote is not None and quote.finished_at is not None:
                await self.dispatcher.cancel(job_id)

    def withdraw(self, quote_ids: Iterable[UUID]) -> None:
        """Cancel the jobs of quotes that were cancelled."""
        for quote_id in quote_ids:
            task = self._tracked.get(quote_id)
            if task is not None:
                task.cancel()
                cancellation = asyncio.create_task(self.dispatcher.cancel(str(quote_id)), name=f"cancel {quote_id}")
                self._cancellations.add(cancellation)
                cancellation.add_done_callback(self._cancellations.discard)

    def wake(self) -> None:
        """Poll the queue now: there are new or cancelled quotes."""
        self._wake.set()

    async def _start_queued(self) -> None:
        unfinished: set[UUID] = set()
        async with self.database.connection() as connection:
            for priority in Priority:  # a window each: waiting bulk work never hides express work
                unfinished.update(await repository.unfinished(connection, priority))
            for quote_id, task in [each for each in self._tracked.items() if each[0] not in unfinished]:
                quote = await repository.get(connection, quote_id)  # meanwhile tasks finish and leave ``_tracked``
                if not task.done() and (quote is None or quote.status is QuoteStatus.CANCELLED):
                    self.withdraw([quote_id])
            new = [await repository.get(connection, quote_id) for quote_id in sorted(unfinished - self._tracked.keys())]
        for quote in new:
            if quote is not None and quote.finished_at is None:
                self._start(quote)

    def _start(self, quote: QuoteRow) -> None:
        def forget(_task: asyncio.Task[None]) -> None:
            del self._tracked[quote.id]

        self._tracked[quote.id] = task = asyncio.create_task(self._follow(quote), name=f"quote {quote.id}")
        task.add_done_callback(forget)

    async def _follow(self, quote: QuoteRow) -> None:
        """Finish one quote; one that can't be followed now is started again."""
        try:
            await self._finish(quote, await self._outcome(quote))
        except UNAVAILABLE_ERRORS as error:
            _log.warning("a quote waits for the database", quote=str(quote.id), error=str(error))
        except Exception:
            _log.exception("a quote could not be followed", quote=str(quote.id))
            await self._finish(quote, failed("internal_error", "the fault is ours and was logged"))

    async def _outcome(self, quote: QuoteRow) -> QuoteOutcome:
        model = await self.models.find(quote.model_sha256)
        if model is None:
            return failed("model_vanished", "the model is not in the store any more; upload it again")
        job = Job(
            str(quote.id),
            quote.owner_id,
            model.url,
            model.sha256,
            model.bytes,
            unit=quote.unit,
            priority=jobs.JobPriority(quote.priority),
        )
        while True:
            try:
                outcome = await self._run_job(quote, self.dispatcher.follow(job))
            except DistributedError as error:
                _log.warning("a quote waits for the dispatcher", quote=str(quote.id), error=str(error))
                await asyncio.sleep(_RETRY_DELAY_S)
                continue
            return await asyncio.to_thread(outcome_of, quote, outcome)

    async def _run_job(self, quote: QuoteRow, job: FollowedJob) -> JobOutcome:
        """Return the outcome of the job, and store its progress and price interval meanwhile."""
        progress = asyncio.create_task(self._store_progress(quote, job))
        try:
            return await job.outcome()
        finally:
            progress.cancel()

    async def _store_progress(self, quote: QuoteRow, job: FollowedJob) -> None:
        interval: Interval | None = None
        currency = price_book().tables.currency
        request = Request(quote.process, (quote.material,), quote.finish, (quote.quantity,))
        await asyncio.sleep(_WATCH_AFTER_S)
        async for update in job.updates():
            if update.status is not JobStatus.RUNNING:
                continue
            if update.partial is not None:
                interval = await asyncio.to_thread(price_interval, update.partial, price_book(), request, interval)
            low, high = (interval.low, interval.high) if interval else (None, None)
            async with self.database.connection() as connection:
                changed = await repository.progress(connection, quote.id, update.progress, low, high, currency)
            if changed:
                await self.publisher.publish([str(quote.id)])

    async def _finish(self, quote: QuoteRow, outcome: QuoteOutcome) -> None:
        async with self.database.transaction() as connection:
            finished = await repository.finish(
                connection,
                quote.id,
                outcome.status,
                outcome.result,
                outcome.content_id,
                outcome.error,
                outcome.expires_at,
            )
            if finished is not None:
                await outbox.append(connection, outcome.event(finished))
        await self.publisher.publish([str(quote.id)])
