"""How a service becomes an application: its routes, sign-in, errors, health; what it needs opens with it and closes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from data.kit import trace
from data.kit.database import Database
from data.kit.database_probe import DatabaseProbe
from data.kit.paging import Cursors
from data.version import PRODUCT_VERSION
from serve_app.kit import admission, problems
from serve_app.kit.admission import Admission, Limits
from serve_app.kit.authentication import ApiKeyLookup, Authenticator, PartnerKeyClient
from serve_app.kit.logging import configure_logging
from serve_app.kit.settings import settings
from serve_app.kit.tokens import Verifier
from serve_app.kit.ttl_cache import TtlCache

Open = Callable[[FastAPI, Database, AsyncExitStack], Awaitable[None]]
"""Opens what else a service needs and keeps it in ``app.state``; what it enters into the stack closes with the app."""
LISTS_S = 0.1
"""How old a list that is kept may be, where another process has changed it."""
MOST_BODY_BYTES = 1 << 20
"""Of a request that is no upload."""


class Health(BaseModel):
    """That a replica lives."""

    service: str
    pid: int
    version: str


class Readiness(BaseModel):
    """Which of the things that a service depends on answer; ``null`` is well, else what is wrong."""

    ready: bool
    dependencies: dict[str, str | None]


def build_service(
    name: str,
    routers: Sequence[APIRouter],
    open_more: Open,
    description: str,
    limits: Limits = admission.REQUESTS,
) -> FastAPI:
    """The application of the service ``name``, without its prefix; nothing is opened before it starts.

    ``limits``: how many requests one replica works on at once.
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
            app.state.lists = TtlCache(LISTS_S)
            keys = PartnerKeyClient(settings().api_url)
            stack.push_async_callback(keys.close)
            app.state.sign_in = _sign_in(keys)
            await open_more(app, database, stack)
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
        # Not of the application as a whole: its answer to what is larger would be outside of all that makes problems.
        app.include_router(router, max_body_size=MOST_BODY_BYTES)
    _add_health(app, name)
    return app


async def no_resources(_app: FastAPI, _database: Database, _stack: AsyncExitStack) -> None:
    """For a service that needs its database alone."""


def use_api_keys(app: FastAPI, keys: ApiKeyLookup) -> None:
    """Let ``keys`` tell whose an API key is, instead of the partners' service over HTTP."""
    app.state.sign_in = _sign_in(keys)


def _sign_in(keys: ApiKeyLookup) -> Authenticator:
    known = settings()
    return Authenticator(Verifier(known.issuer_url, audience=known.audience, roles_claim=known.roles_claim), keys)


def _add_health(app: FastAPI, name: str) -> None:
    @app.get("/healthz", tags=["operations"], response_model=Health)
    async def alive() -> Health:
        """Whether a replica lives."""
        return Health(service=name, pid=os.getpid(), version=PRODUCT_VERSION)

    @app.get("/readyz", tags=["operations"], response_model=Readiness, responses={503: {"model": Readiness}})
    async def ready(request: Request) -> JSONResponse:
        """Whether what it depends on answers."""
        found = {"database": await request.app.state.probe.failure()}
        body = Readiness(ready=not any(found.values()), dependencies=found)
        return JSONResponse(body.model_dump(), HTTPStatus.OK if body.ready else HTTPStatus.SERVICE_UNAVAILABLE)


class TraceContext:
    """Follows the caller's trace (W3C ``traceparent``): events that the request causes carry it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
            trace.current.set(given.decode("latin-1")[:64] if given else None)
        await self._app(scope, receive, send)


def database(request: Request) -> Database:
    """The service's database."""
    found: Database = request.app.state.database
    return found


def state(request: Request, name: str) -> Any:
    """What a service opened under ``name``."""
    return getattr(request.app.state, name)
