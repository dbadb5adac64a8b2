"""Identifiers: UUIDv7 (RFC 9562), which sort by creation time and so keep indexes dense."""

from __future__ import annotations

from uuid import UUID

from uuid_utils import compat

_MILLISECOND = 1 << 80  # one millisecond in the 48 bits of the timestamp


def new_id() -> UUID:
    """Return a new UUIDv7."""
    return compat.uuid7()


def new_id_after(earlier: UUID | None) -> UUID:
    """Return a new UUIDv7 that sorts after ``earlier``, even if the clock was set back since then."""
    created = new_id()
    if earlier is None or created > earlier:
        return created
    timestamp = (earlier.int // _MILLISECOND + 1) * _MILLISECOND
    return UUID(int=timestamp | created.int % _MILLISECOND)
