"""The services, each where it is served: ``serve_app/<name>`` has its application in ``api.py`` (``build``) and, where
something goes on behind it, that in ``events.py`` (``add_to``). A process imports only what it serves.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

from data.kit.database import Database
from serve_app.kit.background import BackgroundTasks

PREFIXES: Mapping[str, str] = {
    "identity": "/auth",
    "shop": "/shop",
    "pricing": "/pricing",
    "crm": "/crm",
    "mes": "/mes",
    "status": "/status",
    "partners": "/partners",
}
"""Service -> the prefix of its paths. The root application, which has none, is not among them."""
WITHOUT_BACKGROUND = frozenset({"identity"})
"""Services behind which nothing goes on."""


def application(name: str) -> FastAPI:
    """The application of a service, not started."""
    built: FastAPI = _module(name, "api").build()
    return built


def root() -> FastAPI:
    """The application of the address itself, which knows all others."""
    from serve_app.root.api import build

    return build({name: (prefix, application(name)) for name, prefix in PREFIXES.items()})


def background_of(name: str) -> Callable[[BackgroundTasks, Database], None]:
    """What adds the work behind a service."""
    add_to: Callable[[BackgroundTasks, Database], None] = _module(name, "events").add_to
    return add_to


def _module(name: str, part: str) -> Any:
    return importlib.import_module(f"serve_app.{name}.{part}")
