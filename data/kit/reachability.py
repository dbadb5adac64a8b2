"""Which parked events wait in vain: their consumer has passed every message that could have been the predecessor.

An event is published after its predecessor, for whoever published it had read the predecessor. So when an event is
parked, its predecessor is in the topics already. The check notes the ends of all the consumer's topics; once the
group's committed offsets have reached them, everything parked before is tried once more, and what still waits is
unreachable: it stays parked, is logged as an error, and counts in a metric that an alert watches. An outage of any
length only delays this, since no clock decides. Where a relay died between two topics of one transaction the verdict
can be early; the event is taken up with its predecessor all the same, and the metric falls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from data.contracts.envelope import EventData
from data.kit import parking
from data.kit.database import Database

_MOST_SUBJECTS = 100
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Mark:
    """The topics' ``ends`` at a time at which every parked row up to ``last`` was there."""

    last: int
    ends: Mapping[TopicPartition, int]


class ReachabilityCheck:
    """Call :meth:`run_once` every few seconds. ``unreachable`` counts the events that it has found so."""

    def __init__(self, name: str, database: Database, topics: Sequence[str]) -> None:
        self._name, self._database, self._topics = name, database, topics
        self._mark: _Mark | None = None
        self.unreachable = 0

    async def run_once(
        self, consumer: AIOKafkaConsumer, take_up: Callable[[Sequence[str]], Awaitable[Sequence[EventData]]]
    ) -> None:
        """One step of the check; ``take_up``: tries the parked events of subjects again."""
        async with self._database.connection() as connection:
            last = await parking.last(connection, self._name)
        if last is None:
            self._mark = None
        elif self._mark is None:
            self._mark = _Mark(last, await self._ends(consumer))
        elif await self._has_passed(consumer, self._mark.ends):
            await self._decide(self._mark.last, take_up)

    async def _ends(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        places = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in consumer.partitions_for_topic(topic) or ()
        ]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return ends

    @staticmethod
    async def _has_passed(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        for place, end in ends.items():
            if end and (await consumer.committed(place) or 0) < end:
                return False
        return True

    async def _decide(self, last: int, take_up: Callable[[Sequence[str]], Awaitable[Sequence[EventData]]]) -> None:
        name = self._name
        async with self._database.connection() as connection:
            subjects = await parking.subjects(connection, name, last, _MOST_SUBJECTS)
        if not subjects:
            self._mark = None
            return
        await take_up(subjects)
        async with self._database.transaction() as connection:
            found = await parking.mark_unreachable(connection, name, subjects, last)
        if found:
            self.unreachable += found
            _log.error("parked events wait in vain: no predecessor is left in the topics", consumer=name, events=found,
                       subjects=subjects[:10], see="facet events parked")  # fmt: skip
