"""A finding: one problem at one key of a file, and its fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """A violation of a rule.

    ``code`` identifies the rule and is stable between releases; ``key`` is the path in the file, such as
    ``available_node_types.spot.max_workers``. A note (a placeholder to replace) fails the check only with ``--ready``.
    """

    code: str
    key: str
    problem: str
    fix: str
    severity: Literal["error", "note"] = "error"


def as_mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is a mapping, else an empty one: the schema check reports the wrong type."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_int(value: Any) -> int | None:
    """Return the value if it is an integer (not YAML's true), else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_number(value: Any) -> float | None:
    """Return the value if it is a number (not YAML's true), else None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_text(value: Any) -> str:
    """Return the value if it is a string, else the empty string."""
    return value if isinstance(value, str) else ""


def one_line(value: Any) -> str:
    """Format the value for one line of a finding, truncated to 100 characters."""
    line = "nothing" if value is None else " ".join(str(value).split()) or "nothing"
    return line if len(line) <= 100 else line[:97] + "..."
