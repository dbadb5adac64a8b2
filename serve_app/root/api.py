"""HTTP API of the root address: `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/asyncapi.json`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse, Response

from data.contracts import asyncapi
from data.version import PRODUCT_VERSION
from serve_app.kit import admission, problems
from serve_app.kit.admission import Admission
from serve_app.kit.app import Health, Readiness
from serve_app.kit.settings import settings
from serve_app.kit.ttl_cache import TtlCache
from serve_app.root import metrics, openapi

_TIMEOUT_S, _READINESS_TTL_S = 3.0, 1.0
Services = Mapping[str, tuple[str, FastAPI]]


def routes(services: Services, document: Callable[[], dict[str, Any]]) -> APIRouter:
    """Return the routes; ``services``: a service's name -> its prefix and application, neither started."""
    router = APIRouter(tags=["operations"])
    cache: TtlCache[Readiness] = TtlCache(_READINESS_TTL_S)

    async def check_all() -> Readiness:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, base_url=settings().api_url) as client:
            checks = [_fault(client, f"{prefix}/readyz") for prefix, _ in services.values()]
            dependencies = dict(zip(services, await asyncio.gather(*checks), strict=True))
        return Readiness(ready=not any(dependencies.values()), dependencies=dependencies)

    @router.get(
        "/healthz",
        summary="Check that the address is alive",
        response_description="The replica that answered",
        response_model=Health,
    )
    async def get_health() -> Health:
        """Return the replica of the root application that answered, without checking the services.

        Needs no credentials: use it as a liveness probe.
        """
        return Health(service="root", pid=os.getpid(), version=PRODUCT_VERSION)

    @router.get(
        "/readyz",
        summary="Check that all services are ready",
        response_description="Every service is ready",
        response_model=Readiness,
        responses={503: {"model": Readiness, "description": "A service is not ready; `dependencies` names it"}},
    )
    async def get_readiness() -> JSONResponse:
        """Return the state of every service, as its own `/readyz` reports it; at most a second old.

        Needs no credentials: use it as a readiness probe.
        """
        body = await cache.get_or_load("services", check_all)
        return JSONResponse(body.model_dump(), HTTPStatus.OK if body.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @router.get(
        "/metrics",
        summary="Get metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Metrics in Prometheus' text format"}},
    )
    async def get_metrics() -> Response:
        """Return the metrics of Facet and of Ray Serve from all nodes of the cluster, in Prometheus' text format.

        A node that does not answer is left out. Needs no credentials.
        """
        return Response(await metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/openapi.json", include_in_schema=False)
    async def get_openapi() -> JSONResponse:
        return JSONResponse(document())

    @router.get(
        "/asyncapi.json",
        summary="Get the AsyncAPI document of all events",
        response_description="The AsyncAPI document",
    )
    async def get_asyncapi() -> JSONResponse:
        """Return the topics and schemas of all events that services publish to Kafka. Needs no credentials."""
        return JSONResponse(asyncapi.document(settings().kafka_url))

    return router


async def _fault(client: httpx.AsyncClient, path: str) -> str | None:
    """Return what is wrong with a service, None if it is ready."""
    try:
        response = await client.get(path)
    except httpx.HTTPError as error:
        return type(error).__name__
    if response.status_code == HTTPStatus.OK:
        return None
    try:
        faults = [f"{name}: {fault}" for name, fault in response.json()["dependencies"].items() if fault]
    except (ValueError, KeyError):
        return f"answers {response.status_code}"
    return "; ".join(faults)


def build(services: Services) -> FastAPI:
    """Return the application, to be served under ``/``."""
    app = FastAPI(
        title="Facet", version=PRODUCT_VERSION, openapi_url=None, docs_url=None, redoc_url=None,
        responses=problems.DOCUMENTED,
    )  # fmt: skip
    problems.install(app)
    app.add_middleware(Admission, limits=admission.REQUESTS)

    @cache
    def document() -> dict[str, Any]:
        return openapi.build_openapi({"root": ("", app), **services})

    app.include_router(routes(services, document))
    return app
