"""Trace context of requests (W3C ``traceparent``): events that a request causes carry it on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from data.kit import trace

_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)


class TraceContext:
    """ASGI middleware that continues the caller's trace, or starts a new one if there is none or it is invalid."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            trace.current.set(None)
            values = [value for name, value in scope["headers"] if name == b"traceparent"]
            trace.current.set(valid_traceparent(values) or trace.traceparent())
        await self._app(scope, receive, send)


def valid_traceparent(values: Sequence[bytes]) -> str | None:
    """Return the ``traceparent`` among header values in the form of version 00; None unless exactly one is valid."""
    if len(values) != 1:
        return None
    match = _TRACEPARENT.fullmatch(values[0].decode("latin-1"))
    if match is None or (match["version"] == "00" and match["more"]):  # later versions may append fields
        return None
    return f"00-{match['trace']}-{match['parent']}-{match['flags']}"
