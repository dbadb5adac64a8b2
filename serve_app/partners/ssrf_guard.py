"""Where webhooks may lead: to the internet, never into our own network (server-side request forgery).

A name is looked up once for each request, all its addresses are judged, and the connection goes to one that was judged:
between check and use there is no second look-up that could answer otherwise (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address

import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Looks a name up: host and port -> addresses. Raises OSError."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_OURS_TOO = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # of protocols, and of a cloud's metadata: Python before 3.11.10 takes it for the internet
            "3fff::/20",  # documentation: Python before 3.14 does not know
            "168.63.129.16/32",  # Azure's host agent, which answers in every virtual machine there
        ),
    )
)
# Threads of their own: a name server that does not answer holds up other look-ups of webhooks at most.
_THREADS = ThreadPoolExecutor(64, "webhook names")


class AddressRefused(Exception):
    """A webhook may not lead there; the text says why, to the partner."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver, which also knows what ``0x7f.1`` means. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_THREADS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an address is one of the internet; an IPv4 address within an IPv6 one counts as itself."""
    ip = _innermost(ipaddress.ip_address(address))
    if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or any(ip in network for network in _OURS_TOO))


def _innermost(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that a mapped, translated (NAT64) or tunnelled (6to4) one leads to, else ``ip``."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip


class SsrfGuard:
    """Judges where a webhook leads. ``private_allowed``: also into private networks, and by plain HTTP."""

    def __init__(self, private_allowed: bool, resolve: Resolve = resolve) -> None:
        self._private_allowed, self._resolve = private_allowed, resolve

    async def addresses(self, url: httpx.URL) -> list[str]:
        """The addresses that ``url`` may be reached at, all of them; raises AddressRefused."""
        schemes = ("https", "http") if self._private_allowed else ("https",)
        if url.scheme not in schemes:
            raise AddressRefused(f"a webhook's address begins with {' or '.join(f'{each}://' for each in schemes)}")
        if url.userinfo:
            raise AddressRefused("a webhook's address bears no user name or password; what we send is signed")
        host = url.raw_host.decode("ascii")
        if not host:
            raise AddressRefused("a webhook's address needs a host")
        port = (443 if url.scheme == "https" else 80) if url.port is None else url.port
        if not 1 <= port <= 65535:
            raise AddressRefused(f"there is no port {port}")
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise AddressRefused(f"the host {host} can't be found: {error}") from error
        if not found:
            raise AddressRefused(f"the host {host} has no address")
        if not self._private_allowed and not all(map(is_public, found)):
            raise AddressRefused(f"the host {host} has an address that is not on the internet")
        return list(dict.fromkeys(found))

    async def check(self, url: str) -> None:
        """Raise AddressRefused where a webhook may not lead."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise AddressRefused(f"this is no address: {error}") from error
        await self.addresses(parsed)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests where a Guard allows, each over a connection of its own to an address that was judged.

    No connection is used twice: under an address instead of a name, those of two hosts could be taken for each other.
    """

    def __init__(self, guard: SsrfGuard, most: int, trusted: ssl.SSLContext | bool = True) -> None:
        self._guard = guard
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=trusted, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises AddressRefused, httpx.TransportError. Header Host and TLS keep the name."""
        name = request.url
        addresses = await self._guard.addresses(name)
        extensions = {**request.extensions, "sni_hostname": name.raw_host.decode("ascii")}
        for n, address in enumerate(addresses, 1):
            pinned = httpx.Request(
                request.method,
                name.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions=extensions,
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except httpx.ConnectError:
                # Nothing was sent yet, and a host may have an address that is out of reach from here.
                if n == len(addresses):
                    raise
        raise AssertionError("a guard gives an address or raises")

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()
