"""Names of things: UUIDv7 (RFC 9562), which sort by the time they were made and so keep indexes dense."""

from __future__ import annotations

from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return compat.uuid7()
