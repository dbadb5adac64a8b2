"""Health checks over HTTP while streams use all capacity of a service."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import httpx

from serve_app.kit.admission import RESERVED, STREAMS
from tests.support.stack import Stack
from tests.support.waiting import TIMEOUT_S, until


async def test_health_checks_respond_while_streams_use_all_capacity(stack: Stack, band: bytes) -> None:
    """Open more streams than the service has capacity for, all of one customer."""
    order_id = stack.order(band)
    path, headers = f"/status/orders/{order_id}/events", stack.as_user("customer")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=stack.url, timeout=TIMEOUT_S, limits=limits) as http:
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
            await until(lambda: open_now >= STREAMS.running)
            for name in ("healthz", "readyz") * 3:
                assert (await http.get(f"/status/{name}")).status_code == HTTPStatus.OK
        finally:
            ended.set()
            for each in streams:
                each.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*streams, return_exceptions=True)
    assert stack.http.get("/readyz").status_code == HTTPStatus.OK
