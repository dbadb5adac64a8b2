"""Names of things: UUIDv7 (RFC 9562), which sort by the time they were made and so keep indexes dense."""

from __future__ import annotations

from uuid import UUID

from uuid_utils import compat

_AFTER = 1 << 80  # one millisecond in the 48 bits of the timestamp


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return compat.uuid7()


def new_id_after(earlier: UUID | None) -> UUID:
    """A fresh UUIDv7 that sorts after ``earlier``, also where the clock was set back since that was made."""
    fresh = new_id()
    if earlier is None or fresh > earlier:
        return fresh
    stamp = (earlier.int // _AFTER + 1) * _AFTER
    return UUID(int=stamp | fresh.int % _AFTER)
