"""The desk: takes queued quotes to the dispatcher on the cluster, follows them, and writes down how they end.

The table of quotes is the queue: what is not over is at hand here or will be taken up, after a restart too. A job is
submitted under its quote's id, so submitting it again is harmless, and a quote ends once, in the transaction that also
writes its event.
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
_QUICK_S = 0.1
"""What ends sooner than this is not followed on its way."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class QuoteWorker:
    """Follows every unfinished quote of ``database``; run :meth:`run`, and :meth:`wake` it when there are new ones."""

    database: Database
    models: ModelStore
    dispatchers: DispatcherClient
    announcer: Publisher
    _tracked: dict[UUID, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _withdrawals: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Take up what is queued, for ever; cancel it to end it."""
        orphans_ended = False
        try:
            while True:
                self._news.clear()
                try:
                    if not orphans_ended:
                        await self._end_orphans()
                        orphans_ended = True
                    await self._take_up()
                except UNAVAILABLE_ERRORS as error:
                    _log.warning("the desk waits for the database", error=str(error))
                try:
                    await asyncio.wait_for(self._news.wait(), POLL_INTERVAL_S)
                except TimeoutError:
                    continue
        finally:
            for task in (*self._tracked.values(), *self._withdrawals):
                task.cancel()

    async def _end_orphans(self) -> None:
        """End the jobs of quotes that are over: a desk that was killed may have had no time to do so."""
        for job_id in await self.dispatchers.unfinished():
            try:
                ident = UUID(job_id)
            except ValueError:
                continue  # not a job of ours
            async with self.database.connection() as connection:
                quote = await repository.get(connection, ident)
            if quote is not None and quote.finished_at is not None:
                await self.dispatchers.cancel(job_id)

    def withdraw(self, quotes: Iterable[UUID]) -> None:
        """These quotes were cancelled: end their jobs on the cluster at once."""
        for quote in quotes:
            following = self._tracked.get(quote)
            if following is not None:
                following.cancel()
                ending = asyncio.create_task(self.dispatchers.cancel(str(quote)), name=f"withdraw {quote}")
                self._withdrawals.add(ending)
                ending.add_done_callback(self._withdrawals.discard)

    def wake(self) -> None:
        """There are new quotes, or some were cancelled."""
        self._news.set()

    async def _take_up(self) -> None:
        unfinished: set[UUID] = set()
        async with self.database.connection() as connection:
            for priority in Priority:  # each its own window: what waits of bulk work never hides express work
                unfinished.update(await repository.unfinished(connection, priority))
            for ident, task in [each for each in self._tracked.items() if each[0] not in unfinished]:
                quote = await repository.get(connection, ident)  # meanwhile tasks end and leave ``_at_hand``
                if not task.done() and (quote is None or quote.status is QuoteStatus.CANCELLED):
                    self.withdraw([ident])
            new = [await repository.get(connection, ident) for ident in sorted(unfinished - self._tracked.keys())]
        for quote in new:
            if quote is not None and quote.finished_at is None:
                self._begin(quote)

    def _begin(self, quote: QuoteRow) -> None:
        def over(_task: asyncio.Task[None]) -> None:
            del self._tracked[quote.id]

        self._tracked[quote.id] = task = asyncio.create_task(self._follow(quote), name=f"quote {quote.id}")
        task.add_done_callback(over)

    async def _follow(self, quote: QuoteRow) -> None:
        """Bring one quote to its end; one that can't be followed now is taken up again."""
        try:
            end = await self._end(quote)
            await self._finish(quote, end)
        except UNAVAILABLE_ERRORS as error:
            _log.warning("a quote waits for the database", quote=str(quote.id), error=str(error))
        except Exception:
            _log.exception("a quote could not be followed", quote=str(quote.id))
            await self._finish(quote, failed("internal_error", "the fault is ours and was logged"))

    async def _end(self, quote: QuoteRow) -> QuoteOutcome:
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
                outcome = await self._watched(quote, self.dispatchers.follow(job))
            except DistributedError as error:
                _log.warning("a quote waits for the dispatcher", quote=str(quote.id), error=str(error))
                await asyncio.sleep(_RETRY_DELAY_S)
                continue
            return await asyncio.to_thread(outcome_of, quote, outcome)

    async def _watched(self, quote: QuoteRow, following: FollowedJob) -> JobOutcome:
        """The outcome of the job; meanwhile its progress and price interval are written down."""
        watching = asyncio.create_task(self._watch(quote, following))
        try:
            return await following.outcome()
        finally:
            watching.cancel()

    async def _watch(self, quote: QuoteRow, following: FollowedJob) -> None:
        before: Interval | None = None
        currency = price_book().tables.currency
        asked = Request(quote.process, (quote.material,), quote.finish, (quote.quantity,))
        await asyncio.sleep(_QUICK_S)
        async for update in following.updates():
            if update.status is not JobStatus.RUNNING:
                continue
            if update.partial is not None:
                before = await asyncio.to_thread(price_interval, update.partial, price_book(), asked, before)
            low, high = (before.low, before.high) if before else (None, None)
            async with self.database.connection() as connection:
                told = await repository.progress(connection, quote.id, update.progress, low, high, currency)
            if told:
                await self.announcer.publish([str(quote.id)])

    async def _finish(self, quote: QuoteRow, end: QuoteOutcome) -> None:
        async with self.database.transaction() as connection:
            ended = await repository.finish(
                connection, quote.id, end.status, end.result, end.content_id, end.error, end.expires_at
            )
            if ended is not None:
                await outbox.append(connection, end.event(ended))
        await self.announcer.publish([str(quote.id)])
