"""The address itself: `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/asyncapi.json`."""

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

_TIMEOUT_S, _READINESS_S = 3.0, 1.0
Services = Mapping[str, tuple[str, FastAPI]]


def routes(services: Services, document: Callable[[], dict[str, Any]]) -> APIRouter:
    """The routes; ``services``: a service's name -> its prefix and application, neither started."""
    router = APIRouter(tags=["operations"])
    readiness: TtlCache[Readiness] = TtlCache(_READINESS_S)

    async def ask_all() -> Readiness:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, base_url=settings().api_url) as client:
            asked = [_ailment(client, f"{prefix}/readyz") for prefix, _ in services.values()]
            found = dict(zip(services, await asyncio.gather(*asked), strict=True))
        return Readiness(ready=not any(found.values()), dependencies=found)

    @router.get("/healthz", response_model=Health)
    async def alive() -> Health:
        """Whether the address answers."""
        return Health(service="root", pid=os.getpid(), version=PRODUCT_VERSION)

    @router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
    async def ready() -> JSONResponse:
        """Which services are ready."""
        body = await readiness.answer("services", ask_all)
        return JSONResponse(body.model_dump(), HTTPStatus.OK if body.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        """Metrics of the whole cluster in Prometheus' format."""
        return Response(await metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi_document() -> JSONResponse:
        return JSONResponse(document())

    @router.get("/asyncapi.json")
    async def asyncapi_document() -> JSONResponse:
        """What the services say to each other through Kafka."""
        return JSONResponse(asyncapi.document(settings().kafka_url))

    return router


async def _ailment(client: httpx.AsyncClient, path: str) -> str | None:
    try:
        answer = await client.get(path)
    except httpx.HTTPError as error:
        return type(error).__name__
    if answer.status_code == HTTPStatus.OK:
        return None
    try:
        wrong = [f"{name}: {what}" for name, what in answer.json()["dependencies"].items() if what]
    except (ValueError, KeyError):
        return f"answers {answer.status_code}"
    return "; ".join(wrong)


def build(services: Services) -> FastAPI:
    """The application, to be served under ``/``."""
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
