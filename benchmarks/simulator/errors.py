"""What a caller may get wrong."""

from __future__ import annotations

from math import isfinite


class ParameterError(ValueError):
    """A parameter that no cluster or workload can have; the message names it, its value and what it may be."""


class StageTimesError(ValueError):
    """The file of measured stage times is missing or not one; the message says how to make it."""


def require(holds: bool, name: str, value: object, allowed: str) -> None:
    """Raise :class:`ParameterError` unless ``holds`` and ``value`` is finite."""
    if not holds or (isinstance(value, float) and not isfinite(value)):
        raise ParameterError(f"{name} is {value}: give {allowed}")
