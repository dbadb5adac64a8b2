"""A finding: one thing that is wrong in one place of a file, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    ``code`` names the rule and stays the same between releases; ``key`` is the place in the file, as
    ``available_node_types.spot.max_workers``. A note (a value still to be filled in) does not fail the check unless the
    file is to be used now.
    """

    code: str
    key: str
    wrong: str
    write: str
    severity: Literal["error", "note"] = "error"


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: the schema has already told of the wrong type."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """The value if it is a whole number (YAML's true is none), else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """The value if it is a number (YAML's true is none), else None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(value: Any) -> str:
    """The value if it is text, else the empty text."""
    return value if isinstance(value, str) else ""


def shown(value: Any) -> str:
    """The value as it may stand in one line of a finding, cut to 100 characters."""
    line = "nothing" if value is None else " ".join(str(value).split()) or "nothing"
    return line if len(line) <= 100 else line[:97] + "..."
