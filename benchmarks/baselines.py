"""Minimal Serve handlers: the baselines of the services' benchmarks.

``python -m benchmarks.baselines DATABASE_URL`` deploys them under ``/baseline`` on the cluster of the environment.
"""

from __future__ import annotations

import secrets
import sys
import uuid
from contextlib import asynccontextmanager
from typing import Any

from ray import serve

_SELECT_FOR_UPDATE = "SELECT * FROM orders WHERE id = %s FOR UPDATE"
_UPDATE = """UPDATE orders SET status = 'SUBMITTED', quote_id = %s, quote = NULL, submitted_at = now(),
    revision = revision + 1, version = version + 1 WHERE id = %s"""
_INSERT_HISTORY = (
    "INSERT INTO order_history (order_id, n, status, at, by) VALUES (%s, 3, 'SUBMITTED', now(), 'customer')"
)
_INSERT_OUTBOX = """WITH next AS (
        INSERT INTO outbox_sequences (source, subject, last) VALUES (%s, %s, 1)
        ON CONFLICT (source, subject) DO UPDATE SET last = outbox_sequences.last + 1 RETURNING last)
    INSERT INTO outbox (topic, subject, value) SELECT %s, %s, '{"sequence":' || last || %s FROM next"""
_SELECT_HISTORY = "SELECT status, at, by FROM order_history WHERE order_id = %s ORDER BY n"
# The same events as the shop writes, so that the background work of both is the same.
_EVENT = (
    ',"specversion":"1.0","id":"%s","source":"%s","type":"%s","subject":"%s",'
    '"time":"2026-01-01T00:00:00+00:00","datacontenttype":"application/json","traceparent":"00-%s-%s-01",'
    '"data":{"order_id":"%s","by":"customer","revision":3,"process":"casting","material":"silver-925","finish":null,'
    '"quantity":1,"priority":"bulk","product_id":null,"owner_id":"customer","partner":false,"model_sha256":"%s",'
    '"unit":"mm","quote_id":"%s"}}'
)
_EVENTS = (
    ("shop.orders.v1", "/facet/shop/orders", "facet.OrderSubmitted.v1"),
    ("pricing.requests.bulk.v1", "/facet/shop/pricing-requests", "facet.QuoteRequested.v1"),
)


def application(database: str) -> Any:
    """Build ``GET /hello`` and ``POST /orders/<id>``, which runs the SQL of a submission through plain psycopg."""

    def build() -> Any:
        from psycopg_pool import AsyncConnectionPool
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, PlainTextResponse
        from starlette.routing import Route

        @asynccontextmanager
        async def lifespan(app: Starlette) -> Any:
            options = {"autocommit": True, "prepare_threshold": 0}
            async with AsyncConnectionPool(database, min_size=10, max_size=10, kwargs=options, open=False) as pool:
                app.state.pool = pool
                yield

        async def hello(_request: Request) -> PlainTextResponse:
            return PlainTextResponse("hello")

        async def submit(request: Request) -> JSONResponse:
            async with request.app.state.pool.connection() as connection:
                history = await _submit(connection, request.path_params["order_id"])
            return JSONResponse([{"status": status, "at": at.isoformat(), "by": by} for status, at, by in history])

        routes = [Route("/hello", hello), Route("/orders/{order_id}", submit, methods=["POST"])]
        return Starlette(routes=routes, lifespan=lifespan)

    options = {"num_cpus": 0}
    api: Any = serve.deployment(serve.ingress(build)(), name="api", max_ongoing_requests=64, ray_actor_options=options)
    return api.bind()


async def _submit(connection: Any, order_id: str) -> list[Any]:
    quote_id = str(uuid.uuid4())
    async with connection.transaction():
        await (await connection.execute(_SELECT_FOR_UPDATE, [order_id])).fetchone()
        await connection.execute(_UPDATE, [quote_id, order_id])
        await connection.execute(_INSERT_HISTORY, [order_id])
        for topic, source, event_type in _EVENTS:
            trace = secrets.token_hex(16), secrets.token_hex(8)
            event = _EVENT % (uuid.uuid4(), source, event_type, order_id, *trace, order_id, "ab" * 32, quote_id)
            await connection.execute(_INSERT_OUTBOX, [source, order_id, topic, order_id, event])
    return list(await (await connection.execute(_SELECT_HISTORY, [order_id])).fetchall())


if __name__ == "__main__":
    serve.run(application(sys.argv[1]), name="baseline", route_prefix="/baseline")
