"""Keys that machines show: long and random, so their SHA-256 is all that is kept, and a leak of it opens nothing."""

from __future__ import annotations

import hashlib
import secrets


def new(prefix: str) -> str:
    """A fresh key of 256 bits; the prefix says what it is for, to people and to scanners of leaked secrets."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()
