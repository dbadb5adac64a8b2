"""Discard numba's cached kernels when a source that kernels are compiled from has changed.

numba compares a kernel with its own file alone: after a change in a helper of another file it would load the old
machine code, and after a structure was renamed the cache can't be read at all.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_COMPILER = b"kernels.runtime.compile import"
_DIGEST = "__pycache__/kernels.sha256"


def sources_digest(package: Path = PACKAGE) -> str:
    """Return the SHA-256 of the sources in ``kernels`` and of those with kernels of their own, with their paths."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if path.relative_to(package).parts[0] != "kernels" and _COMPILER not in content:
            continue
        digest.update(f"{path.relative_to(package)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def discard_stale(package: Path = PACKAGE) -> int:
    """Remove cached kernels that other sources have compiled; return the number of removed files."""
    stored, digest = package / _DIGEST, sources_digest(package)
    if stored.exists() and stored.read_text() == digest:
        return 0
    stale = list(package.rglob("__pycache__/*.nb[ic]"))
    for path in stale:
        path.unlink(missing_ok=True)
    stored.parent.mkdir(exist_ok=True)
    stored.write_text(digest)
    return len(stale)
