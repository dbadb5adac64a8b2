"""The errors of this package: raised where the fact is known, turned into answers by whoever speaks to people."""

from __future__ import annotations


class DataError(Exception):
    """Anything below."""


class SettingMissing(DataError):
    """A setting that is needed is not there; the text names it."""


class NotThere(DataError):
    """No such row, or not one that the caller may see."""


class StaleVersion(DataError):
    """Somebody else changed the row since it was read. ``current``: its version now."""

    def __init__(self, current: int) -> None:
        super().__init__(f"it was changed meanwhile; its version is {current} now")
        self.current = current


class KeyReused(DataError):
    """An idempotency key came again with another body."""


class BadCursor(DataError):
    """A page token that was not made by us for this list."""
