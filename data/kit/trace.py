"""The trace that work belongs to (W3C Trace Context): set by who receives a request or an event, sent on by events."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def traceparent() -> str:
    """The current ``traceparent``, or a fresh one where no trace is being followed."""
    found = current.get()
    if found is None:
        fresh = secrets.token_hex(24)
        found = f"00-{fresh[:32]}-{fresh[32:]}-01"
    return found
