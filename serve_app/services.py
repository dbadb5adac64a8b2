"""All services by name.

``serve_app/<name>`` has its application in ``api.py`` (``build``) and, if it has background tasks, those in
``handlers.py`` (``register_background``). A process imports only the service that it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
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
"""Service -> the prefix of its paths. The root application, which has none, is not listed."""
WITH_BACKGROUND = frozenset(PREFIXES) - {"identity"}
"""Services that have background tasks."""


def application(name: str) -> FastAPI:
    """Return the application of a service, not started."""
    built: FastAPI = _module(name, "api").build()
    return built


def root() -> FastAPI:
    """Return the root application, which documents and checks all services."""
    from serve_app.root.api import build

    return build({name: (prefix, application(name)) for name, prefix in PREFIXES.items()})


def register_background(name: str, tasks: BackgroundTasks, database: Database) -> None:
    """Add the background tasks of a service to ``tasks``."""
    _module(name, "handlers").register_background(tasks, database)


def _module(service: str, name: str) -> Any:
    return importlib.import_module(f"serve_app.{service}.{name}")
