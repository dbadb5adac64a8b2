"""An asyncio client of the dispatcher on the cluster: submits, follows and cancels jobs without threads."""

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
    """A submitted job."""

    async def outcome(self) -> JobOutcome:
        """Return the outcome; raises DistributedError if it can't be found out now."""

    def updates(self) -> AsyncIterator[JobUpdate]:
        """Yield progress until the job is finished; of several updates at once, the last."""


class DispatcherClient(Protocol):
    """Submits jobs."""

    def follow(self, job: Job) -> FollowedJob:
        """Submit a job; submitting it again is harmless. Raises ClusterUnreachable."""

    async def cancel(self, job_id: str) -> None:
        """Cancel a job, if it is unfinished."""

    async def unfinished(self) -> list[str]:
        """Return the ids of unfinished jobs; none if that can't be found out now."""


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
        sequence = 0
        while True:
            try:
                updates: list[JobUpdate] = await self.dispatcher.watch.remote(self.job.job_id, sequence)
            except RayError:
                return
            if not updates:
                return
            yield updates[-1]
            sequence = updates[-1].sequence


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
            return  # the job is gone with the dispatcher

    async def unfinished(self) -> list[str]:
        """See :class:`DispatcherClient`."""
        try:
            job_ids: list[str] = await self._dispatcher().unfinished.remote()
        except (RayError, ClusterUnreachable, AttributeError):
            return []  # a restarted dispatcher has no jobs; an older version lacks the method
        return job_ids

    @staticmethod
    def _dispatcher() -> Any:
        try:
            return ray.get_actor(DISPATCHER, NAMESPACE)
        except (ValueError, RayError) as error:
            raise ClusterUnreachable("the cluster has no dispatcher; `facet dispatcher` starts one") from error
