"""Random passwords of the local stack, stored in one file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Lock


class Passwords:
    """The passwords in ``file``, by name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()

    def get_or_create(self, name: str, generate: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """Return the password of ``name``; at the first request ``generate`` it and store it."""
        with self._lock:
            stored: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
            if name not in stored:
                stored[name] = generate()
                self._save(stored)
        return stored[name]

    def _save(self, passwords: dict[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(passwords, indent=1))
        os.replace(temporary, self._file)
