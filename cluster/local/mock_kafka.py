"""A mock broker for machines without Apache Kafka: librdkafka's own, whose messages are lost when it stops.

``python -m cluster.local.mock_kafka PORT TOPIC ...`` runs one. It implements produce, fetch and consumer groups, and
creates topics on request, with four partitions each.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Producer

from cluster.local.parts import Part
from cluster.local.ports import free_ports

VERSION = "mock"
NOTICE = "KAFKA IS A MOCK BROKER: all its messages are lost when it stops; for trial use only"
REQUEST_TIMEOUT_S = 10.0


def part(logs: Path, topics: Sequence[str]) -> Part:
    """Return the mock broker with its topics, instead of Apache Kafka's part."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    return Part(
        name="kafka",
        argv=(sys.executable, "-m", __name__, str(port), *topics),
        address=address,
        version=VERSION,
        log=logs / "kafka.log",
        probes=(f"kafka://{address}",),
    )


def serve(port: int, topics: Sequence[str]) -> None:
    """Serve until this process is terminated."""
    client = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    for topic in topics:
        client.list_topics(topic, REQUEST_TIMEOUT_S)  # requesting a topic creates it
    (broker,) = client.list_topics(timeout=REQUEST_TIMEOUT_S).brokers.values()
    print(NOTICE, file=sys.stderr, flush=True)
    asyncio.run(_forward(port, broker.host, broker.port))


async def _forward(port: int, host: str, broker: int) -> None:
    # The broker listens on a port that the kernel chooses and returns it in metadata: this is the bootstrap address.
    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(64 * 1024):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass  # one side disconnected; the close disconnects the other
        finally:
            sink.close()

    async def connected(client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        broker_in, broker_out = await asyncio.open_connection(host, broker)
        await asyncio.gather(pass_on(client_in, broker_out), pass_on(broker_in, client_out))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
