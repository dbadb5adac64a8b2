"""Failures that only a command line knows."""

from __future__ import annotations


class WrongUsage(Exception):
    """An argument that can't be honoured: exit code 2."""


class ServiceUnhealthy(Exception):
    """A service that does not answer or is not healthy: exit code 4."""
