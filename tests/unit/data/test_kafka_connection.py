"""aiokafka on uvloop: a request on a closed transport raises a connection error, and ends no task of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import BrokerMetadata

from data.kit import kafka


def on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on uvloop, as the replicas of the services do."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.fixture(autouse=True)
def no_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the handshake: the server of these tests accepts connections and never responds."""

    async def nothing(_self: AIOKafkaConnection) -> None:
        return

    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", nothing)
    # The task that reads responses, and would detect the end of the connection, does not run.
    monkeypatch.setattr(AIOKafkaConnection, "_create_reader_task", lambda _self: asyncio.ensure_future(never()))


async def never() -> None:
    await asyncio.Event().wait()


async def closed_connection(on_close: Callable[..., None]) -> AIOKafkaConnection:
    """Return a connection whose transport is closed and whose reader has not detected it, as after a broker's death."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    connection = AIOKafkaConnection("127.0.0.1", server.sockets[0].getsockname()[1], on_close=on_close)
    await connection.connect()
    connection._writer.transport.abort()
    await asyncio.wait_for(connection._closed_fut, 10)
    await asyncio.sleep(0.01)
    server.close()
    return connection


def test_a_request_on_a_closed_transport_raises_a_connection_error() -> None:
    assert kafka.PARTITIONS  # its import has installed the fix

    async def main() -> None:
        closed: list[object] = []
        connection = await closed_connection(lambda _connection, reason: closed.append(reason))
        with pytest.raises(KafkaConnectionError, match=r"broken: unable to perform operation on .*closed"):
            await connection.send(ApiVersionRequest())
        assert closed == [CloseReason.CONNECTION_BROKEN]
        with pytest.raises(KafkaConnectionError, match="No connection"):
            await connection.send(ApiVersionRequest())

    on_uvloop(main)


def test_a_metadata_update_fails_without_ending_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaConnection, "connected", lambda _self: True)

    async def main() -> None:
        client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
        monkeypatch.setattr(client.cluster, "brokers", lambda: {BrokerMetadata(1, "127.0.0.1", 1, None)})
        lost = await closed_connection(client._on_connection_closed)
        lost._versions = {MetadataRequest.API_KEY: (0, 5)}
        client._conns[1, ConnectionGroup.DEFAULT] = lost
        assert await client._metadata_update(client.cluster, []) is False

    on_uvloop(main)
