"""How many requests a replica works on at once, and how many may wait; health checks need no place among them.

Ray Serve bounds what a replica works on (``max_ongoing_requests``) before the application sees a request, without
regard to its path: with streams in all places a health check would wait like everything else. So this bounds requests
within the application, where a health check is known as such, and Serve's own bound lies so far above that it is not
reached (docs/decisions/0017-clocks.md).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.kit import problems

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
RESERVED = 64
"""Places that Serve must have above all those here: for health checks, and for requests that are being turned away."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``running``: requests that a replica works on at once, streams among them. ``waiting``: those that wait."""

    running: int
    waiting: int


REQUESTS = Limits(64, 256)
STREAMS = Limits(256, 256)
"""Of a service whose requests are often streams or long waits."""


class Admission:
    """ASGI middleware: requests beyond ``limits`` wait in the order they came, then are refused with a 503.

    Health checks pass at any time.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._places = asyncio.Semaphore(limits.running)
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or _path(scope) in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        if self._places.locked():
            if self.waiting >= self._limits.waiting:
                refusal = problems.answer(Request(scope), problems.unavailable("too many requests wait already"))
                await refusal(scope, receive, send)
                return
            self.waiting += 1
            try:
                await self._places.acquire()
            finally:
                self.waiting -= 1
        else:
            await self._places.acquire()
        try:
            await self._app(scope, receive, send)
        finally:
            self._places.release()


def _path(scope: Scope) -> str:
    """The path within the application, without the prefix that it is served under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
