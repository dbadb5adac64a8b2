"""Health checks over HTTP while streams take every place of a service."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import httpx

from serve_app.kit.admission import RESERVED, STREAMS
from tests.services.stack import Stack

WITHIN_S = 60.0


def test_health_is_told_through_a_service_that_is_full_of_streams(stack: Stack, band: bytes) -> None:
    """As many streams as Serve gave places before, and more: those of one customer, who may do that today."""
    ident = stack.order(band)
    path, headers = f"/status/orders/{ident}/events", stack.as_user("customer")

    async def main() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=stack.url, timeout=WITHIN_S, limits=limits) as http:
            open_now = 0
            ended = asyncio.Event()

            async def listen() -> None:
                nonlocal open_now
                async with http.stream("GET", path, headers=headers) as answer:
                    assert answer.status_code == HTTPStatus.OK
                    open_now += 1
                    await ended.wait()

            streams = [asyncio.create_task(listen()) for _ in range(STREAMS.running + RESERVED)]
            try:
                async with asyncio.timeout(WITHIN_S):
                    while open_now < STREAMS.running:
                        await asyncio.sleep(0.05)
                found = [await http.get(f"/status/{name}") for name in ("healthz", "readyz") for _ in range(3)]
                return [answer.status_code for answer in found]
            finally:
                ended.set()
                for each in streams:
                    each.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.gather(*streams, return_exceptions=True)

    assert asyncio.run(main()) == [HTTPStatus.OK] * 6
    assert stack.http.get("/readyz").status_code == HTTPStatus.OK
