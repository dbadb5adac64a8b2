"""Bounds on the requests that a replica runs and queues; health checks are not counted.

Ray Serve bounds the requests of a replica (``max_ongoing_requests``) before the application sees them, without regard
to their paths: with streams in all slots a health check would wait like everything else. So this bounds requests within
the application, which recognises health checks, and Serve's own bound is so much higher that it is not reached
(docs/decisions/0017-clocks.md).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.kit import problems

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
RESERVED = 64
"""Slots that Serve must have beyond the limits here, for health checks and for requests being refused."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """``running``: requests that a replica runs at once, including streams. ``waiting``: requests that may queue."""

    running: int
    waiting: int


REQUESTS = AdmissionLimits(64, 256)
STREAMS = AdmissionLimits(256, 256)
"""For a service whose requests are often streams or long waits."""


class Admission:
    """ASGI middleware: requests beyond ``limits`` queue in order of arrival, then are refused with a 503.

    Health checks always pass.
    """

    def __init__(self, app: ASGIApp, limits: AdmissionLimits) -> None:
        self._app, self._limits = app, limits
        self._slots = asyncio.Semaphore(limits.running)
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or _path(scope) in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        if self._slots.locked():
            if self.waiting >= self._limits.waiting:
                refusal = problems.to_response(Request(scope), problems.unavailable("too many requests are queued"))
                await refusal(scope, receive, send)
                return
            self.waiting += 1
            try:
                await self._slots.acquire()
            finally:
                self.waiting -= 1
        else:
            await self._slots.acquire()
        try:
            await self._app(scope, receive, send)
        finally:
            self._slots.release()


def _path(scope: Scope) -> str:
    """Return the path within the application, without the prefix that it is served under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
