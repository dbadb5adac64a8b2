"""Passwords of the local stack: made by chance, kept in one file that only its owner reads."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Lock


class Passwords:
    """The passwords in ``file``, by name; one that is asked for the first time is made and kept."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()

    def of(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """The password of ``name``, which ``make`` makes: the same as long as the file is there."""
        with self._lock:
            kept: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
            if name not in kept:
                kept[name] = make()
                self._keep(kept)
        return kept[name]

    def _keep(self, passwords: dict[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(passwords, indent=1))
        os.replace(fresh, self._file)
