"""Errors of the command line itself."""

from __future__ import annotations


class WrongUsage(Exception):
    """An argument is invalid: exit code 2."""


class ServiceUnhealthy(Exception):
    """A service is unreachable or unhealthy: exit code 4."""
