"""The current trace (W3C Trace Context): set for each received request or event, passed on in published events."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def traceparent() -> str:
    """Return the current ``traceparent``, or a new one outside any trace."""
    found = current.get()
    if found is None:
        digits = secrets.token_hex(24)
        found = f"00-{digits[:32]}-{digits[32:]}-01"
    return found
