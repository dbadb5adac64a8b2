"""Protection from server-side request forgery: webhooks may lead to the internet, never into our own network.

A name is resolved once for each request, all its addresses are checked, and the connection goes to one of them: between
check and use there is no second resolution that could have another result (DNS rebinding).
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
"""Resolves a name: host and port -> addresses. Raises OSError."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments and a cloud's metadata; public to Python before 3.11.10
            "3fff::/20",  # documentation; public to Python before 3.14
            "168.63.129.16/32",  # Azure's host agent, reachable from every virtual machine there
        ),
    )
)
# Separate threads: a name server that does not answer delays other webhooks at most.
_RESOLVER_THREADS = ThreadPoolExecutor(64, "webhook names")


class AddressRefused(Exception):
    """The URL of a webhook is refused; the message states the reason to the partner."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host by the system's resolver, which also parses ``0x7f.1``. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _RESOLVER_THREADS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Return whether an address is on the internet; an IPv4 address within an IPv6 one counts as itself."""
    ip = _innermost(ipaddress.ip_address(address))
    if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC))


def _innermost(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that a mapped, translated (NAT64) or tunnelled (6to4) one leads to, else ``ip``."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip


class SsrfGuard:
    """Checks where a webhook leads. ``private_allowed``: also into private networks, and by plain HTTP."""

    def __init__(self, private_allowed: bool, resolve: Resolve = resolve) -> None:
        self._private_allowed, self._resolve = private_allowed, resolve

    async def addresses(self, url: httpx.URL) -> list[str]:
        """Return all addresses of the host of ``url``; raises AddressRefused if one is not permitted."""
        schemes = ("https", "http") if self._private_allowed else ("https",)
        if url.scheme not in schemes:
            raise AddressRefused(f"a webhook's URL starts with {' or '.join(f'{each}://' for each in schemes)}")
        if url.userinfo:
            raise AddressRefused("a webhook's URL must not contain a user name or password; requests are signed")
        host = url.raw_host.decode("ascii")
        if not host:
            raise AddressRefused("a webhook's URL needs a host")
        port = (443 if url.scheme == "https" else 80) if url.port is None else url.port
        if not 1 <= port <= 65535:
            raise AddressRefused(f"there is no port {port}")
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise AddressRefused(f"the host {host} can't be resolved: {error}") from error
        if not found:
            raise AddressRefused(f"the host {host} has no address")
        if not self._private_allowed and not all(map(is_public, found)):
            raise AddressRefused(f"the host {host} has an address that is not on the internet")
        return list(dict.fromkeys(found))

    async def check(self, url: str) -> None:
        """Raise AddressRefused if a webhook may not lead there."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise AddressRefused(f"this is not a URL: {error}") from error
        await self.addresses(parsed)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests where a guard permits, each over a connection of its own to an address that was checked.

    Connections are not reused: by address instead of by name, two hosts could be mistaken for each other.
    """

    def __init__(self, guard: SsrfGuard, max_connections: int, trusted: ssl.SSLContext | bool = True) -> None:
        self._guard = guard
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=trusted, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises AddressRefused, httpx.TransportError. The header Host and TLS use the name."""
        url = request.url
        addresses = await self._guard.addresses(url)
        extensions = {**request.extensions, "sni_hostname": url.raw_host.decode("ascii")}
        for n, address in enumerate(addresses, 1):
            pinned = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions=extensions,
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except httpx.ConnectError:
                # Nothing was sent yet, and a host may have an address that can't be reached from here.
                if n == len(addresses):
                    raise
        raise AssertionError("a guard returns an address or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
