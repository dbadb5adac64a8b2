"""The services as Ray Serve applications: the application builder that ``cluster/manifests/serve.yaml`` names.

An application is two deployments. ``api`` answers HTTP and may have any number of replicas. ``events`` runs the
background tasks (relay, consumers, timers); its replicas share the partitions of Kafka and take turns at the outbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from serve_app import services


class Background:
    """The background tasks of a service. When one of them stops, the replica is unhealthy and Serve replaces it."""

    def __init__(self, name: str) -> None:
        from serve_app.kit.background import BackgroundTasks

        self._name, self._tasks, self._stack = name, BackgroundTasks(), AsyncExitStack()
        self._started = False

    async def _start(self) -> None:
        from data.kit.database import Database
        from serve_app.kit.logging import configure_logging
        from serve_app.kit.settings import settings

        configure_logging()

        database = Database(settings().database_url(self._name), settings(), f"facet-{self._name}-events")
        await self._stack.enter_async_context(database)
        services.register_background(self._name, self._tasks, database)
        self._started = True

    async def check_health(self) -> None:
        """Start the tasks at first, then raise if one of them has stopped."""
        if not self._started:
            await self._start()
        self._tasks.check()

    async def __del__(self) -> None:
        """Stop in order, so that other replicas get the partitions at once."""
        await self._tasks.stop()
        await self._stack.aclose()


def application(args: Mapping[str, str]) -> Application:
    """Return the application of ``args["service"]``: a name in ``services.PREFIXES``, or ``root``."""
    name = args["service"]

    def build() -> FastAPI:  # in the replica: nothing of the application is pickled
        return services.root() if name == "root" else services.application(name)

    api: Any = serve.deployment(serve.ingress(build)(), name="api")
    arguments = []
    if name in services.WITH_BACKGROUND:
        events: Any = serve.deployment(Background, name="events")
        arguments.append(events.bind(name))
    bound: Application = api.bind(*arguments)
    return bound
