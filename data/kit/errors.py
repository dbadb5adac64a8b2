"""The errors of this package: raised where the fact is known, converted at the edge (HTTP, command line)."""

from __future__ import annotations


class DataError(Exception):
    """Base of the errors of this package."""


class SettingMissing(DataError):
    """A required setting is missing; the message names it."""


class NotFound(DataError):
    """There is no such row, or the caller may not see it."""


class StaleVersion(DataError):
    """Another transaction changed the row since it was read. ``current``: its current version."""

    def __init__(self, current: int) -> None:
        super().__init__(f"it was changed meanwhile; its version is {current} now")
        self.current = current


class KeyReused(DataError):
    """An idempotency key was used again with another body."""


class BadCursor(DataError):
    """A page token that this service did not issue for this list."""
