"""The local stack's real servers: one database per service, and acknowledged data survive a kill -9."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import psutil
import psycopg
import pytest
import redis as redis_client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from cluster.local import jars, kafka, mock_kafka, parts, postgres, redis, servers
from cluster.local.ephemeral import Server, running
from cluster.local.parts import Part, PartFailed
from cluster.local.passwords import Passwords
from cluster.local.probes import find_failure
from data.contracts.topics import all_topics
from data.kit.kafka import ensure_topics
from data.kit.settings import SERVICES
from tests.support.waiting import wait_until


def test_a_role_can_access_only_its_own_database(postgres_server: Server, database_urls: dict[str, str]) -> None:
    for service, url in database_urls.items():
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (f"facet_{service}",)
            connection.execute("CREATE TABLE mine (id int)")
            connection.rollback()
        server = url.rpartition("/")[0]
        for other in {"postgres", "template1", *(f"facet_{name}" for name in SERVICES)} - {f"facet_{service}"}:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(f"{server}/{other}")


def test_postgresql_preserves_committed_rows(postgres_server: Server, database_urls: dict[str, str]) -> None:
    with psycopg.connect(database_urls["shop"], autocommit=True) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT 7 AS number")
    postgres_server.kill()
    assert find_failure(postgres_server.part.probes)
    postgres_server.start()
    with psycopg.connect(database_urls["shop"], autocommit=True) as connection:
        assert connection.execute("SELECT number FROM numbers").fetchone() == (7,)
        connection.execute("DROP TABLE numbers")


def test_postgresql_starts_despite_an_orphan(postgres_server: Server, database_urls: dict[str, str]) -> None:
    data = Path(postgres_server.part.argv[postgres_server.part.argv.index("-D") + 1])
    connection = psycopg.connect(database_urls["shop"])
    orphan = psutil.Process(connection.info.backend_pid)
    orphan.suspend()  # like a process that waits for a lock
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    postmaster.kill()
    # Once orphaned, it is no longer found as a child of the server.
    wait_until(lambda: orphan.ppid() != postmaster.pid, every_s=0.01)
    postgres_server.kill()
    assert orphan.is_running()
    postgres_server.start()
    assert not orphan.is_running()
    connection.close()
    with psycopg.connect(database_urls["shop"]) as connection:
        assert connection.execute("SELECT 7").fetchone() == (7,)


def test_kafka_preserves_acknowledged_messages(kafka_server: Server) -> None:
    async def send() -> None:
        await ensure_topics(kafka_server.address, ["kept"])
        async with AIOKafkaProducer(bootstrap_servers=kafka_server.address, acks="all") as producer:
            for number in range(100):
                await producer.send_and_wait("kept", str(number).encode(), b"key")

    async def receive() -> list[bytes]:
        async with AIOKafkaConsumer(
            "kept", bootstrap_servers=kafka_server.address, auto_offset_reset="earliest", group_id="reader"
        ) as consumer:
            return [(await asyncio.wait_for(consumer.getone(), 30)).value for _ in range(100)]

    asyncio.run(send())
    kafka_server.kill()
    assert find_failure(kafka_server.part.probes)
    kafka_server.start()
    assert asyncio.run(receive()) == [str(number).encode() for number in range(100)]


async def test_without_kafka_a_mock_broker_with_all_topics_replaces_it(tmp_path: Path) -> None:
    def unavailable(*_: object) -> Part:
        raise jars.JarsMissing("no Java here")

    configured = dict.fromkeys((*servers.DATABASE_URLS.values(), servers.REDIS_URL), "elsewhere")
    messages: list[str] = []
    found = servers.make_servers(tmp_path, tmp_path, all_topics(), configured, messages.append, unavailable)
    (part,) = found.parts
    assert (part.name, part.version) == ("kafka", "mock")
    assert [line.startswith(mock_kafka.NOTICE) and "no Java here" in line for line in messages] == [True]

    async def check_broker(bootstrap: str) -> None:
        assert await ensure_topics(bootstrap, all_topics()) == []
        async with (
            AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer,
            AIOKafkaConsumer(
                *all_topics(), bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id="reader"
            ) as consumer,
        ):
            for name in all_topics():
                await producer.send_and_wait(name, name.encode(), b"key")
            received = [await asyncio.wait_for(consumer.getone(), 30) for _ in all_topics()]
            assert sorted((one.topic, one.value) for one in received) == sorted((n, n.encode()) for n in all_topics())
            await consumer.commit()

    with running(part) as server:
        await check_broker(found.environment[servers.KAFKA_URL])
        assert mock_kafka.NOTICE in server.part.log.read_text()


def test_unconfigured_databases_get_a_server(tmp_path: Path) -> None:
    configured = dict.fromkeys((*servers.DATABASE_URLS.values(), servers.REDIS_URL, servers.KAFKA_URL), "elsewhere")
    configured.pop(servers.DATABASE_URLS["mes"])
    found = servers.make_servers(tmp_path, tmp_path, [], configured, print)
    assert [part.name for part in found.parts] == ["postgresql"]
    with running(found.parts[0]), psycopg.connect(found.environment[servers.DATABASE_URLS["mes"]]) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("facet_mes",)
    assert found.environment.items() >= configured.items()


def test_redis_requires_the_password(redis_server: Server, passwords: Passwords) -> None:
    host, port = redis_server.address.split(":")
    with pytest.raises(redis_client.AuthenticationError):
        redis_client.Redis(host, int(port)).ping()
    assert redis_client.Redis.from_url(redis.url(redis_server.address, passwords)).ping()
    redis_server.kill()
    redis_server.start()
    assert redis_client.Redis.from_url(redis.url(redis_server.address, passwords)).ping()


def test_passwords_are_stored_and_private(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "passwords.json"
    first = Passwords(file).get_or_create("a")
    assert Passwords(file).get_or_create("a") == first != Passwords(file).get_or_create("b")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_failed_start_names_part_reason_and_log(tmp_path: Path, passwords: Passwords) -> None:
    part = redis.part(tmp_path, tmp_path, passwords)
    with (
        socket.create_server(("127.0.0.1", int(part.address.split(":")[1]))),
        pytest.raises(PartFailed, match=r"redis could not start.*redis\.log"),
    ):
        parts.start(part)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "strange").touch()
    with pytest.raises(PartFailed, match=r"postgresql could not create its data folder.*postgresql\.log"):
        postgres.part(tmp_path, tmp_path, passwords)


def test_a_jar_with_a_wrong_hash_is_refused_and_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    name, sha256 = next(line for line in kafka.JARS.read_text().splitlines() if ":slf4j-api:" in line).split()
    lock = tmp_path / "jars"
    lock.write_text(f"# one jar\n{name} {'0' * 64}\n")
    with pytest.raises(PartFailed, match="is not the locked jar"):
        jars.fetch(lock, print)
    lock.write_text(f"{name} {sha256}\n")
    downloads: list[str] = []
    (jar,) = jars.fetch(lock, downloads.append)
    assert jar.is_relative_to(tmp_path)
    assert downloads == [name]
    assert jars.fetch(lock, downloads.append) == [jar]
    assert downloads == [name]
