"""Webhooks reach a real server: signed, in order, retried after failures; a slow or unreachable one blocks no other."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook

from data.kit import clock
from data.kit.clock import Instant
from data.kit.database import Database
from data.kit.ids import new_id
from data.partners import deliveries, repository
from data.partners.deliveries import DeliveryState
from serve_app.partners import bulkhead
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.partners.sender import MAX_IN_FLIGHT
from serve_app.partners.ssrf_guard import resolve
from tests.support.waiting import until
from tests.support.webhook_receiver import ReceivedRequest, Receiver, served
from tests.support.webhook_sender import SECRET, all_of, attempts, ended, hook, sender, sending

Migrated = Callable[[str], str]


def first_arrivals(requests: Sequence[ReceivedRequest]) -> dict[str, list[int]]:
    """Return for each order the numbers of its deliveries, by first arrival."""
    found: dict[str, list[int]] = {}
    for each in requests:
        body = json.loads(each.body)
        numbers = found.setdefault(body["order"], [])
        if body["n"] not in numbers:
            numbers.append(body["n"])
    return found


async def test_all_arrive_signed_and_in_order_despite_failures_and_competing_senders(migrated: Migrated) -> None:
    orders, each = [new_id() for _ in range(12)], 8
    receiver, count = Receiver(), iter(range(10**6))
    receiver.answer = lambda _request: (200, 503, 204, None, 302, 202)[next(count) % 6]

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"http://{at}/hook", orders, each)
        async with sending(sender(database), sender(database)):
            await ended(database, webhook)
    assert first_arrivals(receiver.requests) == {str(order): list(range(each)) for order in orders}
    assert {request.path for request in receiver.requests} == {"/hook"}, "redirects are not followed"
    bodies_by_id: dict[str, set[bytes]] = {}
    for request in receiver.requests:
        Webhook(SECRET).verify(request.body, request.headers)
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("facet-webhooks/")
        bodies_by_id.setdefault(request.headers["webhook-id"], set()).add(request.body)
    assert len(bodies_by_id) == len(orders) * each
    assert all(len(bodies) == 1 for bodies in bodies_by_id.values())


async def test_each_attempt_is_recorded_and_the_next_is_delayed(migrated: Migrated) -> None:
    receiver, statuses = Receiver(), [500, None, 302, 404, 429, 200]
    receiver.answer = lambda _request: statuses[len(receiver.requests) - 1]

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"http://{at}/", [new_id()], 1)
        async with sending(sender(database, RetryPolicy(factor=50.0, jitter=0))):
            (done,) = await ended(database, webhook)
        assert done.attempts == 6
        assert done.next_attempt_at is None
        tried = await attempts(database, done.id)
    assert [(each.n, each.answer) for each in tried] == list(enumerate((500, 500, 302, 404, 429, 200), 1))
    assert [each.error for each in tried] == ["HTTP 500", "HTTP 500", "HTTP 302", "HTTP 404", "HTTP 429", None]
    waits = [after.at - before.at for before, after in pairwise(tried)]
    for n, wait in enumerate(waits):
        assert wait >= timedelta(seconds=0.1 * 2**n)


async def test_a_webhook_that_is_gone_is_deactivated_until_the_partner_activates_it(migrated: Migrated) -> None:
    receiver = Receiver(lambda _request: 410)

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"http://{at}/", [new_id()], 3)
        async with sending(sender(database)):
            await until(lambda: bool(receiver.requests))
            await asyncio.sleep(0.5)
            *rest, first = await all_of(database, webhook)
            assert first.state is DeliveryState.FAILED
            assert {each.state for each in rest} == {DeliveryState.PENDING}
            assert len(receiver.requests) == 1
            receiver.answer = lambda _request: 200
            async with database.transaction() as connection:
                partner = await repository.add(connection, "jeweller")
                stored = await repository.webhook(connection, partner, webhook)
                assert stored is not None
                assert (stored.active, stored.version) == (False, 2)
                await repository.edit_webhook(connection, stored.model_copy(update={"active": True}))
                assert await deliveries.replay(connection, partner, first.id)
            await ended(database, webhook)
    assert [json.loads(each.body)["n"] for each in receiver.requests] == [0, 0, 1, 2]


async def test_a_failed_delivery_blocks_no_other_and_a_replay_has_all_attempts_again(migrated: Migrated) -> None:
    receiver = Receiver()
    receiver.answer = lambda request: 500 if json.loads(request.body)["n"] == 0 else 200

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"http://{at}/", [new_id()], 2)
        async with sending(sender(database, RetryPolicy(factor=500.0, max_attempts=3))):

            async def failed() -> bool:
                states = [each.state for each in await all_of(database, webhook)]
                return states == [DeliveryState.DELIVERED, DeliveryState.FAILED]

            await until(failed)
            _second, first = await all_of(database, webhook)
            assert first.attempts == 3
            receiver.answer = lambda _request: 500 if len(receiver.requests) < 6 else 200
            async with database.transaction() as connection:
                partner = await repository.add(connection, "jeweller")
                assert await deliveries.replay(connection, partner, first.id)
            await ended(database, webhook)
        assert [each.answer for each in await attempts(database, first.id)] == [500, 500, 500, 500, 200]


async def test_slow_unreachable_and_endless_webhooks_block_no_other(migrated: Migrated) -> None:
    timeout_s = 25.0

    async def asleep(_request: ReceivedRequest) -> int:
        await asyncio.sleep(3600)
        return 200

    slow, endless, quick = Receiver(asleep), Receiver(lambda _request: 200, endless=True), Receiver()

    async def hanging_resolver(host: str, port: int) -> list[str]:
        if host == "dead.example":
            await asyncio.sleep(3600)
        return await resolve(host, port)

    async with (
        Database(migrated("partners")) as database,
        served(slow) as at_slow,
        served(endless) as at_endless,
        served(quick) as at_quick,
    ):
        orders = [new_id() for _ in range(MAX_IN_FLIGHT)]  # in order of time alone, each webhook would take all slots
        await hook(database, "http://dead.example/", orders, 1)
        await hook(database, f"http://{at_slow}/", orders, 1)
        await hook(database, f"http://{at_endless}/", orders[:30], 1)
        webhook = await hook(database, f"http://{at_quick}/", orders, 1)
        async with sending(sender(database, timeout_s=timeout_s, resolve=hanging_resolver)):
            started = time.monotonic()
            await ended(database, webhook)
            result = time.monotonic() - started
    assert result < timeout_s, "no delivery waits for those of slow webhooks"
    assert len(quick.requests) == MAX_IN_FLIGHT
    assert 0 < len(slow.requests) < 2 * bulkhead.MAX_IN_FLIGHT


async def test_a_webhook_that_does_not_respond_in_time_is_retried(migrated: Migrated) -> None:
    async def slow_at_first(_request: ReceivedRequest) -> int:
        await asyncio.sleep(5 if len(receiver.requests) == 1 else 0)
        return 200

    receiver = Receiver(slow_at_first)

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"http://{at}/", [new_id()], 1)
        async with sending(sender(database, timeout_s=0.2)):
            (done,) = await ended(database, webhook)
        result = await attempts(database, done.id)
    assert [each.error for each in result] == ["no response within 0.2 s", None]


async def test_a_suspended_sender_does_not_count_as_a_failed_attempt(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspended_s = 0.0
    real = clock.instant

    def instant() -> Instant:
        at = real()
        return Instant(at.wall_s + suspended_s, at.monotonic_s)

    async def slow_at_first(_request: ReceivedRequest) -> int:
        nonlocal suspended_s
        if len(receiver.requests) == 1:
            suspended_s = 300.0  # the machine was suspended during this request
            await asyncio.sleep(5)
        return 200

    receiver = Receiver(slow_at_first)
    monkeypatch.setattr(clock, "instant", instant)

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"http://{at}/", [new_id()], 1)
        async with sending(sender(database, RetryPolicy(max_attempts=1), timeout_s=0.2)):
            (done,) = await ended(database, webhook)
        first, second = await attempts(database, done.id)
    assert "the sender was suspended for about 300 s" in str(first.error)
    assert (second.answer, second.error) == (200, None)


async def test_an_address_that_became_private_is_not_connected_to(migrated: Migrated) -> None:
    receiver = Receiver()

    async with Database(migrated("partners")) as database, served(receiver) as at:
        webhook = await hook(database, f"https://localhost:{at.split(':')[1]}/", [new_id()], 1)
        async with sending(sender(database, RetryPolicy(max_attempts=1), private_allowed=False)):
            (done,) = await ended(database, webhook, DeliveryState.FAILED)
        (tried,) = await attempts(database, done.id)
    assert tried.answer is None
    assert "not on the internet" in str(tried.error)
    assert receiver.requests == []


async def test_a_webhook_removed_during_an_attempt_blocks_no_other(migrated: Migrated) -> None:
    async def remove(_request: ReceivedRequest) -> int:
        async with Database(url) as database, database.transaction() as connection:
            partner = await repository.add(connection, "jeweller")
            for each in await repository.webhooks(connection, partner):
                if each.url.endswith("/removed"):
                    await repository.remove_webhook(connection, partner, each.id)
        return 200

    removed, active, url = Receiver(remove), Receiver(), migrated("partners")

    async with Database(url) as database, served(removed) as at_removed, served(active) as at_active:
        await hook(database, f"http://{at_removed}/removed", [new_id()], 3)
        async with sending(sender(database)):
            await until(lambda: bool(removed.requests))
            webhook = await hook(database, f"http://{at_active}/", [new_id()], 3)
            await ended(database, webhook)
    assert len(removed.requests) == 1
    assert len(active.requests) == 3


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with the key and the certificate of jeweller.example."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=jeweller.example")
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("jeweller.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "jeweller.pem"
    path.write_bytes(secret + signed.public_bytes(pem))
    return path


async def test_over_tls_the_certificate_is_verified_against_the_host_name(
    migrated: Migrated, certificate: Path
) -> None:
    receiver = Receiver()

    async def resolve_locally(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    options = {"ssl_certfile": str(certificate), "ssl_keyfile": str(certificate)}
    trusted = ssl.create_default_context(cafile=str(certificate))
    async with Database(migrated("partners")) as database, served(receiver, **options) as at:
        port = at.split(":")[1]
        valid = await hook(database, f"https://jeweller.example:{port}/", [new_id()], 1)
        other = await hook(database, f"https://other.example:{port}/", [new_id()], 1)
        async with sending(sender(database, RetryPolicy(max_attempts=1), resolve=resolve_locally, trusted=trusted)):
            await ended(database, valid)
            (done,) = await ended(database, other, DeliveryState.FAILED)
        (tried,) = await attempts(database, done.id)
    (request,) = receiver.requests
    assert request.headers["host"].startswith("jeweller.example:")
    assert "other.example" in str(tried.error), "a certificate of another name"
