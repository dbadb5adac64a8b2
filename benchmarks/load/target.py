"""The stack under load, as ``facet status --json`` tells of it: one on this machine, others are not ours to load."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STATUS = "FACET_STATUS"


class NoTarget(Exception):
    """There is nothing to load: says why, in one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the services answer, and the demo accounts by their names in ``facet status --json``."""

    url: str
    demo: dict[str, Any]


def find_target(file: str | None) -> Target:
    """The stack that ``file`` tells of, else the file in ``FACET_STATUS``, else that of the current folder.

    Raises NoTarget.
    """
    file = file or os.environ.get(STATUS)
    said = Path(file).read_text() if file else _ask()
    try:
        tree = json.loads(said)
    except ValueError as error:
        raise NoTarget(f"{file or '`facet status --json`'} gives no JSON") from error
    if not tree.get("url") or "demo" not in tree:
        raise NoTarget("no services are up here; `facet up` brings them up")
    if not is_loopback(tree["url"]):
        raise NoTarget(f"{tree['url']} is another machine; the load test is for this one")
    return Target(tree["url"], tree["demo"])


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine and nowhere else."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask() -> str:
    command = [sys.executable, "-m", "pricing_engine", "status", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
