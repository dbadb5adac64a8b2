"""The partners' API."""

from __future__ import annotations

from contextlib import AsyncExitStack

from fastapi import FastAPI, Request
from starlette.responses import Response

from data.kit.database import Database
from data.model_store.store import ModelStore
from serve_app.kit.app import build_service, use_api_keys
from serve_app.kit.settings import settings
from serve_app.partners import api_keys, orders, webhooks
from serve_app.partners.authentication import DatabaseApiKeys
from serve_app.partners.order_client import OrderClient, UpstreamProblem
from serve_app.partners.ssrf_guard import SsrfGuard


async def _open(app: FastAPI, database: Database, stack: AsyncExitStack) -> None:
    use_api_keys(app, DatabaseApiKeys(database))
    app.state.models = ModelStore(settings().needed("model_store_url"), settings().largest_model_mib << 20)
    app.state.guard = SsrfGuard(settings().webhook_private_addresses)
    app.state.neighbours = OrderClient(settings().api_url)
    stack.push_async_callback(app.state.neighbours.close)


async def _as_it_is(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UpstreamProblem)
    said = error.answer
    kept = {name: said.headers[name] for name in ("retry-after", "www-authenticate") if name in said.headers}
    return Response(said.content, said.status_code, kept, said.headers["content-type"])


def build() -> FastAPI:
    """The application, to be served under ``/partners``."""
    routers = [api_keys.routes, orders.routes, webhooks.routes]
    app = build_service("partners", routers, _open, "Orders and webhooks of partners, who sign in with an API key.")
    app.add_exception_handler(UpstreamProblem, _as_it_is)
    return app
