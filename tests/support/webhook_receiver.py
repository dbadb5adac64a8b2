"""A server that records the webhooks that it receives, and responds as a test requires."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.waiting import until


@asynccontextmanager
async def served(app: ASGIApp, **options: Any) -> AsyncIterator[str]:
    """Serve an ASGI application for the time of the block; yields ``host:port``."""
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, lifespan="off", log_level="critical", **options))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        await serving


@dataclass
class ReceivedRequest:
    """A request as the receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Receiver:
    """An ASGI application that records requests; ``answer`` returns the status, or None to close the connection."""

    answer: Callable[[ReceivedRequest], Awaitable[int | None] | int | None] = lambda _request: 204
    requests: list[ReceivedRequest] = field(default_factory=list)
    endless: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        one = ReceivedRequest(scope["path"], headers, body, time.monotonic())
        self.requests.append(one)
        response = self.answer(one)
        status = await response if isinstance(response, Awaitable) else response
        if status is None:
            raise RuntimeError("closed")
        moved = [(b"location", b"/elsewhere")] if 300 <= status < 400 else []
        await send({"type": "http.response.start", "status": status, "headers": moved})
        disconnected = asyncio.ensure_future(receive())
        while self.endless and not disconnected.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        disconnected.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
