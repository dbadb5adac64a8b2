"""Build the application of a service: routes, authentication, errors and health; resources open and close with it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from data.kit.database import Database
from data.kit.database_probe import DatabaseProbe
from data.kit.paging import Cursors
from data.version import PRODUCT_VERSION
from serve_app.kit import admission, problems
from serve_app.kit.admission import Admission, AdmissionLimits
from serve_app.kit.authentication import ApiKeyLookup, Authenticator, PartnerKeyClient
from serve_app.kit.dependencies import from_state
from serve_app.kit.logging import configure_logging
from serve_app.kit.settings import settings
from serve_app.kit.tokens import Verifier
from serve_app.kit.trace_context import TraceContext
from serve_app.kit.ttl_cache import TtlCache

Probe = Annotated[DatabaseProbe, Depends(from_state("probe"))]
OpenResources = Callable[[FastAPI, Database, AsyncExitStack], Awaitable[None]]
"""Opens further resources of a service and stores them in ``app.state``; the stack closes them with the application."""
LIST_TTL_S = 0.1
"""How long a cached list may miss changes of another process."""
MAX_BODY_BYTES = 1 << 20
"""Of a request that is not an upload."""


class Health(BaseModel):
    """A replica that is alive."""

    service: str = Field(description="Name of the service")
    pid: int = Field(description="Process id of the replica that answered")
    version: str = Field(description="Version that the replica runs")


class Readiness(BaseModel):
    """State of everything that a service depends on."""

    ready: bool = Field(description="Whether every dependency answers")
    dependencies: dict[str, str | None] = Field(description="State of each dependency: null if well, else the fault")


def build_service(
    name: str,
    routers: Sequence[APIRouter],
    open_resources: OpenResources,
    description: str,
    limits: AdmissionLimits = admission.REQUESTS,
) -> FastAPI:
    """Return the application of the service ``name``, without its prefix; resources are opened when it starts.

    ``limits``: how many requests one replica runs and queues.
    """
    configure_logging()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = Database(settings().database_url(name), settings(), f"facet-{name}-api")
            app.state.database = await stack.enter_async_context(database)
            app.state.probe = DatabaseProbe(database.url, settings(), f"facet-{name}-probe")
            stack.push_async_callback(app.state.probe.close)
            app.state.cursors = Cursors(settings().needed("cursor_secret").encode())
            app.state.lists = TtlCache(LIST_TTL_S)
            keys = PartnerKeyClient(settings().api_url)
            stack.push_async_callback(keys.close)
            app.state.authenticator = _authenticator(keys)
            await open_resources(app, database, stack)
            yield

    app = FastAPI(
        title=f"Facet {name}",
        version=PRODUCT_VERSION,
        description=description,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=problems.DOCUMENTED,
    )
    problems.install(app)
    app.add_middleware(TraceContext)
    app.add_middleware(Admission, limits=limits)
    for router in routers:
        # Not for the whole application: its response to a larger body would bypass what turns errors into problems.
        app.include_router(router, max_body_size=MAX_BODY_BYTES)
    _add_health(app, name)
    return app


async def no_resources(_app: FastAPI, _database: Database, _stack: AsyncExitStack) -> None:
    """Open nothing: the service needs its database alone."""


def use_api_keys(app: FastAPI, keys: ApiKeyLookup) -> None:
    """Resolve API keys with ``keys``, instead of the partners' service over HTTP."""
    app.state.authenticator = _authenticator(keys)


def _authenticator(keys: ApiKeyLookup) -> Authenticator:
    ours = settings()
    return Authenticator(Verifier(ours.issuer_url, audience=ours.audience, roles_claim=ours.roles_claim), keys)


def _add_health(app: FastAPI, name: str) -> None:
    @app.get(
        "/healthz",
        tags=["operations"],
        summary="Check that the service is alive",
        response_description="The replica that answered",
        response_model=Health,
    )
    async def get_health() -> Health:
        """Return the replica that answered, without checking its dependencies.

        Needs no credentials and is never queued behind other requests: use it as a liveness probe.
        """
        return Health(service=name, pid=os.getpid(), version=PRODUCT_VERSION)

    @app.get(
        "/readyz",
        tags=["operations"],
        summary="Check that the dependencies answer",
        response_description="Every dependency answers",
        response_model=Readiness,
        responses={503: {"model": Readiness, "description": "A dependency does not answer; `dependencies` names it"}},
    )
    async def get_readiness(probe: Probe) -> JSONResponse:
        """Return the state of every dependency of the service, above all of its database.

        Needs no credentials and is never queued behind other requests: use it as a readiness probe.
        """
        dependencies = {"database": await probe.failure()}
        body = Readiness(ready=not any(dependencies.values()), dependencies=dependencies)
        return JSONResponse(body.model_dump(), HTTPStatus.OK if body.ready else HTTPStatus.SERVICE_UNAVAILABLE)
