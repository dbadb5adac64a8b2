"""Apache Kafka as a part of the local stack: one broker that is its own controller (KRaft)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from aiokafka.errors import KafkaError

from cluster.local import jars
from cluster.local.parts import Part, PartFailed
from cluster.local.ports import free_ports
from data.kit.kafka import PARTITIONS, ensure_topics

JARS = Path(__file__).with_name("kafka.jars")
VERSION = next(
    line.split()[0].rpartition(":")[2]
    for line in JARS.read_text().splitlines()
    if line.startswith("org.apache.kafka:kafka_")
)
# Only the C1 compiler: a broker for a few hundred messages a second starts with 4 s of CPU time instead of 7, and
# serves them with two thirds of it.
JVM = ("-Xms256m", "-Xmx640m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:TieredStopAtLevel=1")
READY_TIMEOUT_S = 120.0


def part(folder: Path, logs: Path, topics: Sequence[str], on_progress: Callable[[str], None]) -> Part:
    """Return the broker with its data in ``folder``; call ``on_progress`` with each download.

    Raises JarsMissing if Java or the jars are not available, PartFailed for any other failure.
    """
    log = logs / "kafka.log"
    program = jars.java()
    classpath = ":".join(map(str, jars.fetch(JARS, lambda jar: on_progress(f"downloading {jar}"))))
    client, controller = free_ports(2)
    properties = folder / "server.properties"
    folder.mkdir(parents=True, exist_ok=True)
    properties.write_text(_properties(folder / "data", client, controller))
    command = (program, *JVM, *_logging(folder), "-cp", classpath)
    _format(command, properties, folder / "data", log)
    address = f"127.0.0.1:{client}"
    return Part(
        name="kafka",
        argv=(*command, "kafka.Kafka", str(properties)),
        address=address,
        version=VERSION,
        log=log,
        probes=(f"kafka://{address}",),
        ready_timeout_s=READY_TIMEOUT_S,
        set_up=lambda: _create_topics(address, topics),
    )


def _create_topics(bootstrap: str, topics: Sequence[str]) -> None:
    try:
        asyncio.run(ensure_topics(bootstrap, topics))
    except KafkaError as error:
        raise PartFailed(f"kafka can't create its topics: {error}") from error


def _properties(data: Path, client: int, controller: int) -> str:
    # One broker has no replica. Acknowledged messages are in the page cache, so a crash of the process loses nothing; a
    # crash of the machine may. A cluster of three, as in production, does not.
    return "\n".join(
        f"{name}={value}"
        for name, value in {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": data,
            "num.partitions": PARTITIONS,
            "auto.create.topics.enable": "false",
            # A killed broker can register again once its former session has expired: after 9 s by default.
            "broker.session.timeout.ms": 4_000,
            "broker.heartbeat.interval.ms": 500,
            "offsets.topic.num.partitions": 6,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 2,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
            "log.retention.hours": 168,
            "log.segment.bytes": 64 * 1024 * 1024,
        }.items()
    )


def _logging(folder: Path) -> tuple[str, ...]:
    configuration = folder / "log4j2.properties"
    configuration.write_text(
        "status = error\nappender.console.type = Console\nappender.console.name = console\n"
        "appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = [%d] %p %m (%c)%n\n"
        "rootLogger.level = warn\nrootLogger.appenderRef.console.ref = console\n"
        "logger.server.name = kafka.server.KafkaRaftServer\nlogger.server.level = info\n"
    )
    return (f"-Dlog4j2.configurationFile={configuration}",)


def _format(command: tuple[str, ...], properties: Path, data: Path, log: Path) -> None:
    """Format an empty data folder with a cluster id, as Kafka requires before its first start."""
    if (data / "meta.properties").exists():
        return
    cluster = _run(command, "kafka.tools.StorageTool", "random-uuid").stdout.strip().splitlines()[-1:]
    done = _run(command, "kafka.tools.StorageTool", "format", "-t", *cluster, "-c", str(properties))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PartFailed(f"kafka could not create its data folder {data}: {reason}; its log: {log}")


def _run(command: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
