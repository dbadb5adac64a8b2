"""Health checks of a service answer when every pool that requests fill is full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from starlette.responses import StreamingResponse

from data.kit.database_probe import DatabaseProbe
from data.kit.settings import DataSettings
from serve_app.kit.admission import AdmissionLimits
from serve_app.kit.app import build_service, no_resources
from serve_app.kit.settings import settings
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

POOL, STREAMS = 2, 3


@pytest.fixture
def service(migrated: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """Yield a service whose requests hold connections of the pool, and whose streams do not end."""
    address = conninfo_to_dict(migrated("shop"))
    # By name: a connection from the event loop resolves a name in the default executor.
    named = {**{key: str(value) for key, value in address.items()}, "host": "localhost"}
    monkeypatch.setenv("FACET_SHOP_DATABASE_URL", make_conninfo(**named))
    monkeypatch.setenv("FACET_CURSOR_SECRET", "secret")
    monkeypatch.setenv("FACET_DATABASE_POOL", str(POOL))
    settings.cache_clear()
    routes = APIRouter()

    @routes.get("/slow")
    async def slow(request: Request) -> None:
        async with request.app.state.database.connection() as connection:
            request.app.state.holding += 1
            await connection.execute("SELECT pg_sleep(8)")

    @routes.get("/stream")
    async def stream(request: Request) -> StreamingResponse:
        async def texts() -> AsyncIterator[str]:
            request.app.state.holding += 1
            yield "begin"
            await asyncio.Event().wait()

        return StreamingResponse(texts())

    app = build_service("shop", [routes], no_resources, "A service of this test.", AdmissionLimits(POOL + STREAMS, 1))
    app.state.holding = 0
    yield app
    settings.cache_clear()


@asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=4.0) as client,
    ):
        yield client


@asynccontextmanager
async def busy_executor() -> AsyncIterator[None]:
    """Occupy all threads of the default executor for the time of the block."""
    free, loop = threading.Event(), asyncio.get_running_loop()
    blocked = [loop.run_in_executor(None, free.wait) for _ in range(100)]
    try:
        yield
    finally:
        free.set()
        await asyncio.gather(*blocked)


async def test_health_is_reported_while_pool_executor_and_admission_are_full(service: FastAPI) -> None:
    async with started(service) as http:
        paths = ["/slow"] * POOL + ["/stream"] * STREAMS
        holding = [asyncio.create_task(http.get(path)) for path in paths]
        try:
            await until(lambda: service.state.holding == len(paths))
            async with busy_executor():
                holding.append(asyncio.create_task(http.get("/stream")))
                for _ in range(3):
                    alive, ready = await http.get("/healthz"), await http.get("/readyz")
                    assert (alive.status_code, alive.json()["service"]) == (200, "shop")
                    assert (ready.status_code, ready.json()["dependencies"]) == (200, {"database": None})
                assert (await http.get("/slow")).status_code == 503, "no other request may wait"
                assert not any(each.done() for each in holding)
        finally:
            for each in holding:
                each.cancel()
            await asyncio.gather(*holding, return_exceptions=True)


async def test_many_health_checks_run_one_query(migrated: Callable[[str], str]) -> None:
    probe = DatabaseProbe(migrated("shop"), DataSettings(), "test", max_age_s=60.0)
    assert await asyncio.gather(*(probe.failure() for _ in range(100))) == [None] * 100
    assert await probe.failure() is None
    assert probe.checks == 1
    await probe.close()


async def test_a_database_that_goes_away_and_returns_is_reported(migrated: Callable[[str], str]) -> None:
    proxy = Proxy(migrated("shop"))
    await proxy.open()
    probe = DatabaseProbe(proxy.url, DataSettings(), "test", max_age_s=0.0)
    assert await probe.failure() is None
    proxy.close()
    assert await probe.failure() is not None
    await proxy.open()

    async def answers() -> bool:
        return await probe.failure() is None

    await until(answers)
    proxy.close()
    await probe.close()


async def test_a_database_that_hangs_is_reported_in_time_and_checked_by_one_thread() -> None:
    silent = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    probe = DatabaseProbe(f"postgresql://me@127.0.0.1:{port}/it", DataSettings(), "test", timeout_s=0.2)
    found = await asyncio.gather(*(probe.failure() for _ in range(20)))
    assert set(found) == {"no answer in 0.2 s"}
    assert probe.checks == 1
    await probe.close()
    silent.close()
