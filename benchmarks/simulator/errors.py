"""Errors of the simulator's input."""

from __future__ import annotations

from math import isfinite


class ParameterError(ValueError):
    """An invalid parameter; the message contains its name, its value and the allowed ones."""


class StageTimesError(ValueError):
    """The file of measured stage times is missing or invalid; the message contains the command that writes it."""


def require(holds: bool, name: str, value: object, allowed: str) -> None:
    """Raise :class:`ParameterError` unless ``holds`` and ``value`` is finite."""
    if not holds or (isinstance(value, float) and not isfinite(value)):
        raise ParameterError(f"{name} is {value}: use {allowed}")
