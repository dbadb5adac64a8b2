"""The stack under load, from ``facet status --json``: only one on this machine."""

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
    """There is no target for the load test; the message is one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """The services' URL, and the demo accounts by their names in ``facet status --json``."""

    url: str
    demo: dict[str, Any]


def find_target(file: str | None) -> Target:
    """Return the stack of ``file``, else of the file in ``FACET_STATUS``, else of the current folder.

    Raises NoTarget.
    """
    file = file or os.environ.get(STATUS)
    output = Path(file).read_text() if file else _facet_status()
    try:
        status = json.loads(output)
    except ValueError as error:
        raise NoTarget(f"{file or '`facet status --json`'} is not JSON") from error
    if not status.get("url") or "demo" not in status:
        raise NoTarget("no services run in this folder; start them with `facet up`")
    if not is_loopback(status["url"]):
        raise NoTarget(f"{status['url']} is another machine; the load test runs only against this one")
    return Target(status["url"], status["demo"])


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _facet_status() -> str:
    command = [sys.executable, "-m", "pricing_engine", "status", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
