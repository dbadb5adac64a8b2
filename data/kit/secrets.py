"""Keys for machines: long and random, so storing their SHA-256 alone suffices, and leaked hashes give no access."""

from __future__ import annotations

import hashlib
import secrets


def new(prefix: str) -> str:
    """Return a new key of 256 bits; the prefix shows its purpose to people and to scanners for leaked secrets."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """Return the hash of a key that is stored."""
    return hashlib.sha256(key.encode()).digest()
