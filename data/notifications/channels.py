"""Redis channels between the processes of pricing."""

from __future__ import annotations

QUOTES_CHANNEL, QUOTE_WORKER_CHANNEL = "facet.quotes", "facet.desk"
"""Changed quotes, by id; new work for the quote workers, by :data:`WORK_KEY`."""
WORK_KEY = "work"
