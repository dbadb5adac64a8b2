"""HTTP API of partners: the routers of orders, webhooks and API keys in one application."""

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
    app.state.ssrf_guard = SsrfGuard(settings().webhook_private_addresses)
    app.state.order_client = OrderClient(settings().api_url)
    stack.push_async_callback(app.state.order_client.close)


async def _pass_on(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UpstreamProblem)
    upstream = error.response
    headers = {name: upstream.headers[name] for name in ("retry-after", "www-authenticate") if name in upstream.headers}
    return Response(upstream.content, upstream.status_code, headers, upstream.headers["content-type"])


def build() -> FastAPI:
    """Return the application, to be served under ``/partners``."""
    routers = [api_keys.routes, orders.routes, webhooks.routes]
    app = build_service("partners", routers, _open, "Orders, webhooks and API keys of partners.")
    app.add_exception_handler(UpstreamProblem, _pass_on)
    return app
