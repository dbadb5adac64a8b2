"""Kafka clients with our settings, and the topics that must be there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, NoError, UnknownMemberIdError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from data.kit import kafka_connection

Client = TypeVar("Client")
Result = TypeVar("Result")
kafka_connection.install()
PARTITIONS = 6
LARGEST_MESSAGE = 1024 * 1024
# While a broker is away each client tries again after this time, in several loops: with 50 ms those of one machine took
# the processor that the broker needed to come back.
RETRY_BACKOFF_MS = 250
# A restarted broker gives up the members that it does not hear within this time after it has loaded their group: with
# 6 s, all members on a busy machine had to join anew after an outage. data.kit.group_membership removes dead members
# sooner.
SESSION_TIMEOUT_MS = 20_000


def producer(bootstrap: str, name: str) -> AIOKafkaProducer:
    """A producer whose retries neither lose, repeat nor reorder what it sends; the caller starts and stops it."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=name,
        enable_idempotence=True,
        acks="all",
        max_batch_size=256 * 1024,
        max_request_size=LARGEST_MESSAGE,
        linger_ms=0,
        request_timeout_ms=15_000,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        metadata_max_age_ms=60_000,
    )


def consumer(bootstrap: str, group: str, topics: Iterable[str], client_id: str | None = None) -> AIOKafkaConsumer:
    """A consumer that begins with the oldest message and commits when told to; the caller starts and stops it."""
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=client_id or group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=500,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=2_000,
        max_poll_interval_ms=120_000,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        metadata_max_age_ms=60_000,
    )


ANSWER_TIMEOUT_S = 3.0
RETRY_WITHIN_S = 10.0
STOP_TIMEOUT_S = 20.0
"""A client of a broker that is gone may wait for it while it stops."""


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """A client that is started for the block and stopped after it."""
    untyped: Any = client
    try:
        await untyped.start()
        yield client
    except BaseException as error:
        # What ended the block is raised, a cancellation above all, and not how its client fares afterwards.
        try:
            await _stop(untyped)
        except (KafkaError, OSError) as failed:  # a time-out is an OSError
            error.add_note(f"its Kafka client could not be stopped: {failed!r}")
        raise
    else:
        await _stop(untyped)


async def _stop(client: Any) -> None:
    async with asyncio.timeout(STOP_TIMEOUT_S):
        await client.stop()


@asynccontextmanager
async def administrator(bootstrap: str, **settings: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics and groups, for the block."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **settings)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def retried(ask: Callable[[], Awaitable[Result]], within_s: float = RETRY_WITHIN_S) -> Result:
    """Ask again after an error that passes, as while the coordinator of a group is being found."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        await asyncio.sleep(RETRY_BACKOFF_MS / 1000)


async def answers(bootstrap: str) -> bool:
    """Whether a broker answers a new client within a moment."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), administrator(bootstrap, request_timeout_ms=2_000):
            return True
    except (KafkaError, OSError):
        return False


class Message(Protocol):
    """A message as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


async def ensure_topics(
    bootstrap: str, names: Iterable[str], partitions: int = PARTITIONS, replication: int = 1
) -> list[str]:
    """Make the topics that are missing; gives their names."""
    async with administrator(bootstrap) as admin:
        missing = sorted(set(names) - set(await admin.list_topics()))
        if missing:
            await admin.create_topics([NewTopic(name, partitions, replication) for name in missing])
        return missing


class Group:
    """The members of a consumer group as its coordinator knows them, by a connection of its own."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=4_000)
        self._group = group

    async def start(self) -> None:
        """Connect; raises KafkaError where no broker answers."""
        await self._client.bootstrap()

    async def stop(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def members(self) -> dict[str, str]:
        """The client ids of the members by member id; none where there is no such group."""
        ((error, _group, _state, _kind, _protocol, members),) = (
            await self._ask(DescribeGroupsRequest([self._group]))
        ).groups
        if error:
            raise for_code(error)(f"can't describe the group {self._group}")
        return {member_id: client_id for member_id, client_id, *_ in members}

    async def remove(self, member_id: str) -> bool:
        """Let a member leave on its behalf, so that its partitions go to the others at once; False if it had left."""
        error = for_code((await self._ask(LeaveGroupRequest(self._group, member_id))).error_code)
        if error not in (NoError, UnknownMemberIdError):
            raise error(f"{member_id} can't leave the group {self._group}")
        return error is NoError

    async def _ask(self, request: DescribeGroupsRequest | LeaveGroupRequest) -> Any:
        coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, self._group)
        return await self._client.send(coordinator, request)


async def partitions(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    """The partitions of ``topics``, in order; none for a topic that does not exist."""
    async with administrator(bootstrap) as admin:
        described = await admin.describe_topics(list(topics))
        return sorted(
            TopicPartition(found["topic"], each["partition"]) for found in described for each in found["partitions"]
        )
