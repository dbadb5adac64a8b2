"""Webhooks never lead into our own network, however the address is written or the name resolves."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from serve_app.partners.ssrf_guard import AddressRefused, GuardedTransport, SsrfGuard, is_public

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111",
        "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
    ],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # This host, private networks, link-local with the metadata services, carriers' NAT, documentation, benchmarks.
        "0.0.0.0", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9",
        # Multicast, reserved, broadcast, Azure's host agent.
        "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
        # The same in IPv6.
        "::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
        "3fff::1",
        # Private IPv4 addresses within IPv6: mapped, compatible, 6to4, Teredo, NAT64 and its local kind.
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        # Ways to write 127.0.0.1, which the system's resolver knows: decimal, hexadecimal, octal, short, full-width.
        "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://0177.1/",
        "https://127.1/", "https://127。0。0。1/", "https://[::1]/", "https://[::ffff:7f00:1]/", "https://localhost/",
        "https://[::ffff:127.0.0.1]:8443/", "https://[fe80::1%25lo]/",
    ],
)  # fmt: skip
async def test_this_host_by_any_name(url: str) -> None:
    with pytest.raises(AddressRefused):
        await SsrfGuard(private_allowed=False).check(url)


class Names:
    """A resolver that returns one answer after the other, and the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.calls = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.calls += 1
        return list(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/", "ftp://a.example/", "file:///etc/passwd", "gopher://a.example/", "//a.example/", "a.b",
        "https:///path", "https://user@a.example/", "https://user:word@a.example/", "https://a.example:0/",
        "https://a.example:65536/", "https://", "", "https://a.example:x/",
    ],
)  # fmt: skip
async def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        await SsrfGuard(False, Names([PUBLIC])).check(url)


@pytest.mark.parametrize("url", ["https://a.example/", "https://a.example:8443/x?y=z", "https://пример.рф/"])
async def test_urls_that_are_accepted(url: str) -> None:
    await SsrfGuard(False, Names([PUBLIC])).check(url)


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(AddressRefused):
        await SsrfGuard(False, Names([PUBLIC, "10.0.0.1"])).check("https://a.example/")
    with pytest.raises(AddressRefused):
        await SsrfGuard(False, Names([])).check("https://a.example/")


async def test_a_name_that_is_not_there_is_refused() -> None:
    async def unresolvable(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(AddressRefused, match=r"a\.example can't be resolved"):
        await SsrfGuard(False, unresolvable).check("https://a.example/")


async def test_private_addresses_and_plain_http_where_they_are_allowed() -> None:
    await SsrfGuard(private_allowed=True).check("http://127.0.0.1:9/")


class Inner(httpx.AsyncHTTPTransport):
    """Records requests instead of sending them; ``dead`` addresses can't be reached."""

    def __init__(self, dead: Sequence[str] = ()) -> None:
        self.dead, self.requests = dead, list[httpx.Request]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host in self.dead:
            raise httpx.ConnectError("no route")
        return httpx.Response(200)

    async def aclose(self) -> None:
        pass


async def sent(guard: SsrfGuard, inner: Inner, url: str = "https://a.example:8443/hook?x=1") -> httpx.Response:
    transport = GuardedTransport(guard, 1)
    transport._inner = inner
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.post(url, content=b"{}")


async def test_the_connection_goes_to_the_address_that_was_checked_and_keeps_the_name() -> None:
    names, inner = Names([PUBLIC], ["127.0.0.1"]), Inner()
    await sent(SsrfGuard(False, names), inner)
    (request,) = inner.requests
    assert names.calls == 1, "no second resolution, which could have another result"
    assert str(request.url) == f"https://{PUBLIC}:8443/hook?x=1"
    assert request.headers["host"] == "a.example:8443"
    assert request.extensions["sni_hostname"] == "a.example"


async def test_a_name_that_leads_elsewhere_since_it_was_registered_is_refused_when_it_is_used() -> None:
    guard, inner = SsrfGuard(False, Names([PUBLIC], ["169.254.169.254"])), Inner()
    await guard.check("https://a.example/")
    with pytest.raises(AddressRefused):
        await sent(guard, inner)
    assert inner.requests == []


async def test_another_address_of_the_host_is_tried_where_one_is_out_of_reach() -> None:
    inner = Inner(dead=["2606:4700:4700::1111"])
    assert (await sent(SsrfGuard(False, Names(["2606:4700:4700::1111", PUBLIC])), inner)).status_code == 200
    assert [request.url.host for request in inner.requests] == ["2606:4700:4700::1111", PUBLIC]
    with pytest.raises(httpx.ConnectError):
        await sent(SsrfGuard(False, Names([PUBLIC])), Inner(dead=[PUBLIC]))
