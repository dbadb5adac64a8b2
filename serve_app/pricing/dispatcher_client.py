"""The dispatcher on the cluster, from asyncio: jobs are sent, followed and cancelled without a thread for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

from pricing_engine.distributed.address import DISPATCHER, NAMESPACE
from pricing_engine.distributed.errors import ClusterUnreachable
from pricing_engine.distributed.jobs import Job, JobOutcome, JobUpdate


class FollowedJob(Protocol):
    """A job that was sent."""

    async def outcome(self) -> JobOutcome:
        """How it ends; raises DistributedError where that can't be known now."""

    def updates(self) -> AsyncIterator[JobUpdate]:
        """How far it is, until it has ended; of several at once, the last."""


class DispatcherClient(Protocol):
    """Where jobs are sent."""

    def follow(self, job: Job) -> FollowedJob:
        """Send a job; sending it again is harmless. Raises ClusterUnreachable."""

    async def cancel(self, job_id: str) -> None:
        """End a job, if it is under way."""

    async def unfinished(self) -> list[str]:
        """The ids of the jobs under way; none where that can't be known now."""


@dataclass(frozen=True, slots=True)
class _FollowedRayJob:
    dispatcher: Any
    job: Job
    reference: ray.ObjectRef[JobOutcome]

    async def outcome(self) -> JobOutcome:
        try:
            return await self.reference
        except RayError as error:
            raise ClusterUnreachable(f"the dispatcher does not answer ({type(error).__name__})") from error

    async def updates(self) -> AsyncIterator[JobUpdate]:
        seen = 0
        while True:
            try:
                news: list[JobUpdate] = await self.dispatcher.watch.remote(self.job.job_id, seen)
            except RayError:
                return
            if not news:
                return
            yield news[-1]
            seen = news[-1].sequence


class RayDispatcherClient:
    """The dispatcher of the cluster that this process belongs to."""

    def follow(self, job: Job) -> FollowedJob:
        """See :class:`DispatcherClient`."""
        dispatcher = self._dispatcher()
        return _FollowedRayJob(dispatcher, job, dispatcher.run.remote(job))

    async def cancel(self, job_id: str) -> None:
        """See :class:`DispatcherClient`."""
        try:
            await self._dispatcher().cancel.remote(job_id)
        except (RayError, ClusterUnreachable):
            return  # the dispatcher is gone, and with it the job

    async def unfinished(self) -> list[str]:
        """See :class:`DispatcherClient`."""
        try:
            found: list[str] = await self._dispatcher().unfinished.remote()
        except (RayError, ClusterUnreachable, AttributeError):
            return []  # a dispatcher that begins anew has no jobs; one of an older version can't say
        return found

    @staticmethod
    def _dispatcher() -> Any:
        try:
            return ray.get_actor(DISPATCHER, NAMESPACE)
        except (ValueError, RayError) as error:
            raise ClusterUnreachable("the cluster has no dispatcher; `facet dispatcher` begins one") from error
