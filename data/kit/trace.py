"""The trace that work belongs to (W3C Trace Context): set by who receives a request or an event, sent on by events."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def traceparent() -> str:
    """The current ``traceparent``, or a fresh one where no trace is being followed."""
    return current.get() or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
