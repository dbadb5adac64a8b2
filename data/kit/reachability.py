"""Find unreachable parked events: their consumer has passed every message that could have been the predecessor.

An event is published after its predecessor, since its publisher had read the predecessor. So when an event is parked,
its predecessor is in the topics already. The check records the end offsets of all the consumer's topics; once the
group's committed offsets have reached them, everything parked before is retried, and what is still parked is
unreachable: it stays parked, is logged as an error, and counts in a metric with an alert. An outage of any length only
delays this, since no clock decides. If a relay died between two topics of one transaction the result can be early; the
event is applied with its predecessor all the same, and the metric falls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from data.contracts.envelope import EventData
from data.kit import parking
from data.kit.database import Database

_MAX_SUBJECTS = 100
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Watermark:
    """The topics' ``end_offsets`` at a time at which every parked row up to ``last`` existed."""

    last: int
    end_offsets: Mapping[TopicPartition, int]


class ReachabilityCheck:
    """Call :meth:`run_once` every few seconds. ``unreachable`` counts the unreachable events found."""

    def __init__(self, name: str, database: Database, topics: Sequence[str]) -> None:
        self._name, self._database, self._topics = name, database, topics
        self._watermark: _Watermark | None = None
        self.unreachable = 0

    async def run_once(
        self, consumer: AIOKafkaConsumer, retry_parked: Callable[[Sequence[str]], Awaitable[Sequence[EventData]]]
    ) -> None:
        """Run one step of the check; ``retry_parked``: retries the parked events of subjects."""
        async with self._database.connection() as connection:
            last = await parking.last_undecided(connection, self._name)
        if last is None:
            self._watermark = None
        elif self._watermark is None:
            self._watermark = _Watermark(last, await self._end_offsets(consumer))
        elif await self._has_passed(consumer, self._watermark.end_offsets):
            await self._decide(self._watermark.last, retry_parked)

    async def _end_offsets(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        partitions = [
            TopicPartition(topic, index)
            for topic in self._topics
            for index in consumer.partitions_for_topic(topic) or ()
        ]
        end_offsets: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return end_offsets

    @staticmethod
    async def _has_passed(consumer: AIOKafkaConsumer, end_offsets: Mapping[TopicPartition, int]) -> bool:
        for partition, end in end_offsets.items():
            if end and (await consumer.committed(partition) or 0) < end:
                return False
        return True

    async def _decide(self, last: int, retry_parked: Callable[[Sequence[str]], Awaitable[Sequence[EventData]]]) -> None:
        name = self._name
        async with self._database.connection() as connection:
            subjects = await parking.undecided_subjects(connection, name, last, _MAX_SUBJECTS)
        if not subjects:
            self._watermark = None
            return
        await retry_parked(subjects)
        async with self._database.transaction() as connection:
            marked = await parking.mark_unreachable(connection, name, subjects, last)
        if marked:
            self.unreachable += marked
            _log.error("parked events are unreachable: the topics hold no predecessor", consumer=name, events=marked,
                       subjects=subjects[:10], see="facet events parked")  # fmt: skip
