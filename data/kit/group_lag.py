"""Check whether a consumer group keeps up with its topics: the broker answers, and what it held before is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from data.kit.kafka import RETRY_BACKOFF_MS

CHECK_TIMEOUT_S = 4.0
_log = structlog.get_logger(__name__)


def has_handled(
    end_offsets: Mapping[TopicPartition, int],
    committed: Mapping[TopicPartition, int],
    beginnings: Mapping[TopicPartition, int],
) -> bool:
    """Return whether all messages before ``end_offsets`` are committed, or deleted from a partition never committed."""
    return all(max(committed.get(each, -1), beginnings.get(each, 0)) >= end for each, end in end_offsets.items())


class GroupLag:
    """Check one consumer group; a few small requests to the broker each time."""

    def __init__(self, bootstrap: str, group: str, topics: Iterable[str], timeout_s: float = CHECK_TIMEOUT_S) -> None:
        self._bootstrap, self._group, self._topics = bootstrap, group, tuple(topics)
        self._timeout_s = timeout_s
        self._reader: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._end_offsets: Mapping[TopicPartition, int] | None = None

    async def keeps_up(self) -> bool:
        """Return whether the broker answers and the group has handled all messages seen at the previous check.

        False at the first check, and at the first one after a failure. Does not raise.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._check()
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("broker does not answer", group=self._group, error=f"{type(error).__name__}: {error}")
            await self.close()
            return False

    async def _check(self) -> bool:
        reader, admin = await self._clients()
        described = await admin.describe_topics(list(self._topics))
        indices = {each["topic"]: [one["partition"] for one in each["partitions"]] for each in described}
        if not all(indices.get(topic) for topic in self._topics):
            self._end_offsets = None  # a topic is being created again: its end offsets are unknown
            return False
        partitions = [TopicPartition(topic, index) for topic in self._topics for index in indices[topic]]
        end_offsets: Mapping[TopicPartition, int] = await reader.end_offsets(partitions)
        offsets = await admin.list_consumer_group_offsets(self._group, partitions=partitions)
        committed = {partition: each.offset for partition, each in offsets.items()}
        previous, self._end_offsets = self._end_offsets, end_offsets
        if previous is None:
            return False
        never = [partition for partition in previous if committed.get(partition, -1) < 0]
        return has_handled(previous, committed, await reader.beginning_offsets(never) if never else {})

    async def _clients(self) -> tuple[AIOKafkaConsumer, AIOKafkaAdminClient]:
        if self._reader is None or self._admin is None:
            # Without topics: it reads offsets and fetches no messages. Assigned before they are started, so that
            # close() finds them if a start times out.
            self._reader = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, retry_backoff_ms=RETRY_BACKOFF_MS)
            self._admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            await self._reader.start()
            await self._admin.start()
        return self._reader, self._admin

    async def close(self) -> None:
        """Close the connections; the next check opens new ones."""
        reader, admin = self._reader, self._admin
        self._reader = self._admin = self._end_offsets = None
        with suppress(KafkaError, OSError):
            if reader is not None:
                await reader.stop()
        with suppress(KafkaError, OSError):
            if admin is not None:
                await admin.close()
