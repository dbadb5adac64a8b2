"""Placeholders for the user's own values: addresses and hosts that are reserved for documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, one_line

# RFC 2606 names, RFC 5737 addresses.
_RESERVED = re.compile(r"\bexample\.(?:com|org|net)\b|\b(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}\b")


def placeholders(value: Any, key: str = "") -> Iterator[Finding]:
    """Yield a note for each placeholder."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from placeholders(item, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from placeholders(item, f"{key}[{index}]")
    elif isinstance(value, str) and "\n" not in value and _RESERVED.search(value):
        yield Finding("placeholder", key, f"{one_line(value)} is a placeholder", "your own value, before use", "note")
