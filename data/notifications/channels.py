"""Redis channels by which pricing's processes tell each other."""

from __future__ import annotations

QUOTES, DESK = "facet.quotes", "facet.desk"
"""A quote has news; the desk has new work (announced as :data:`WORK`)."""
WORK = "work"
