"""The services as Ray Serve applications: what ``import_path`` names in ``cluster/manifests/serve.yaml``.

An application is two deployments. ``api`` answers HTTP and may have any number of replicas. ``events`` is what goes on
behind it (relay, consumers, timers); its replicas share the partitions of Kafka and take turns at the outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from serve_app import services


class Background:
    """The work behind a service. When a part of it ends, the replica is not healthy, and Serve replaces it."""

    def __init__(self, name: str) -> None:
        from serve_app.kit.background import BackgroundTasks

        self._name, self._work, self._stack = name, BackgroundTasks(), AsyncExitStack()
        self._begun = False

    async def _begin(self) -> None:
        from data.kit.database import Database
        from serve_app.kit.logging import configure_logging
        from serve_app.kit.settings import settings

        configure_logging()

        database = Database(settings().database_url(self._name), settings(), f"facet-{self._name}-events")
        await self._stack.enter_async_context(database)
        services.background_of(self._name)(self._work, database)
        self._begun = True

    async def check_health(self) -> None:
        """Raise where a part of the work has ended."""
        if not self._begun:
            await self._begin()
        self._work.check()

    async def __del__(self) -> None:
        """Stop in order, so that the others get the partitions at once."""
        await self._work.stop()
        await self._stack.aclose()


def _application(name: str) -> Application:
    def build() -> FastAPI:
        return services.application(name)

    return _served(build, None if name in services.WITHOUT_BACKGROUND else name)


def _served(build: Callable[[], FastAPI], work: str | None) -> Application:
    api: Any = serve.deployment(serve.ingress(build)(), name="api")
    behind: Any = serve.deployment(Background, name="events")
    application: Application = api.bind() if work is None else api.bind(behind.bind(work))
    return application


def root(_arguments: dict[str, str]) -> Application:
    """The address itself."""
    return _served(services.root, None)


def identity(_arguments: dict[str, str]) -> Application:
    """The service ``identity``."""
    return _application("identity")


def shop(_arguments: dict[str, str]) -> Application:
    """The service ``shop``."""
    return _application("shop")


def pricing(_arguments: dict[str, str]) -> Application:
    """The service ``pricing``."""
    return _application("pricing")


def crm(_arguments: dict[str, str]) -> Application:
    """The service ``crm``."""
    return _application("crm")


def mes(_arguments: dict[str, str]) -> Application:
    """The service ``mes``."""
    return _application("mes")


def status(_arguments: dict[str, str]) -> Application:
    """The service ``status``."""
    return _application("status")


def partners(_arguments: dict[str, str]) -> Application:
    """The service ``partners``."""
    return _application("partners")
