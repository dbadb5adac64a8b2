"""Kafka clients with the settings of this system, and its topics."""

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

ClientT = TypeVar("ClientT")
ResultT = TypeVar("ResultT")
kafka_connection.install()
PARTITIONS = 6
MAX_MESSAGE_BYTES = 1024 * 1024
# While a broker is unavailable each client retries after this time, in several loops: with 50 ms the clients of one
# machine used the processor time that the broker needed to start.
RETRY_BACKOFF_MS = 250
# A restarted broker drops the members without a heartbeat within this time after it has loaded their group: with 6 s,
# all members on a busy machine had to rejoin after an outage. data.kit.group_membership removes dead members sooner.
SESSION_TIMEOUT_MS = 20_000


def producer(bootstrap: str, name: str) -> AIOKafkaProducer:
    """Return a producer whose retries neither lose, repeat nor reorder messages; the caller starts and stops it."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=name,
        enable_idempotence=True,
        acks="all",
        max_batch_size=256 * 1024,
        max_request_size=MAX_MESSAGE_BYTES,
        linger_ms=0,
        request_timeout_ms=15_000,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        metadata_max_age_ms=60_000,
    )


def consumer(bootstrap: str, group: str, topics: Iterable[str], client_id: str | None = None) -> AIOKafkaConsumer:
    """Return a consumer that starts with the oldest message, without auto-commit; the caller starts and stops it."""
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


PROBE_TIMEOUT_S = 3.0
RETRY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 20.0
"""A client may wait for an unavailable broker while it stops."""


@asynccontextmanager
async def started(client: ClientT) -> AsyncIterator[ClientT]:
    """Start a client for the block and stop it afterwards."""
    untyped: Any = client
    try:
        await untyped.start()
        yield client
    except BaseException as error:
        # Raise the error of the block, a cancellation above all, not one of stopping the client.
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
async def admin_client(bootstrap: str, **settings: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a client for topics and groups, started for the block."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **settings)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def retry(request: Callable[[], Awaitable[ResultT]], timeout_s: float = RETRY_TIMEOUT_S) -> ResultT:
    """Repeat a request after a retriable error, as while the coordinator of a group is being elected."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return await request()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        await asyncio.sleep(RETRY_BACKOFF_MS / 1000)


async def is_available(bootstrap: str) -> bool:
    """Return whether a broker answers a new client within ``PROBE_TIMEOUT_S``."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), admin_client(bootstrap, request_timeout_ms=2_000):
            return True
    except (KafkaError, OSError):
        return False


class Message(Protocol):
    """A message as aiokafka returns it."""

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
    """Create the missing topics; return their names."""
    async with admin_client(bootstrap) as admin:
        missing = sorted(set(names) - set(await admin.list_topics()))
        if missing:
            await admin.create_topics([NewTopic(name, partitions, replication) for name in missing])
        return missing


class GroupClient:
    """Read and remove members of a consumer group at its coordinator, by a separate connection."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=4_000)
        self._group = group

    async def start(self) -> None:
        """Connect; raises KafkaError if no broker answers."""
        await self._client.bootstrap()

    async def stop(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def members(self) -> dict[str, str]:
        """Return the client ids of the members by member id; none if the group does not exist."""
        ((error, _group, _state, _kind, _protocol, members),) = (
            await self._send(DescribeGroupsRequest([self._group]))
        ).groups
        if error:
            raise for_code(error)(f"can't describe the group {self._group}")
        return {member_id: client_id for member_id, client_id, *_ in members}

    async def remove(self, member_id: str) -> bool:
        """Make a member leave, so that its partitions are reassigned at once; False if it had left."""
        error = for_code((await self._send(LeaveGroupRequest(self._group, member_id))).error_code)
        if error not in (NoError, UnknownMemberIdError):
            raise error(f"{member_id} can't leave the group {self._group}")
        return error is NoError

    async def _send(self, request: DescribeGroupsRequest | LeaveGroupRequest) -> Any:
        coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, self._group)
        return await self._client.send(coordinator, request)


async def partitions(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    """Return the partitions of ``topics``, in order; none for a topic that does not exist."""
    async with admin_client(bootstrap) as admin:
        described = await admin.describe_topics(list(topics))
        return sorted(
            TopicPartition(found["topic"], each["partition"]) for found in described for each in found["partitions"]
        )
