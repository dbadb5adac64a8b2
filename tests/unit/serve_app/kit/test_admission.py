"""A replica runs a limited number of requests at once; health checks pass when all slots are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message

from serve_app.kit import problems
from serve_app.kit.admission import RESERVED, Admission, AdmissionLimits
from serve_app.services import PREFIXES, application, root
from tests.support.cluster_files import DOCUMENTS, SERVE

LIMITS = AdmissionLimits(3, 2)


@dataclass
class Gate:
    """An application behind Admission, whose requests and streams run while the gate is shut."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: list[int] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()
        problems.install(app)
        app.add_middleware(Admission, limits=LIMITS)

        @app.get("/rings/{n}")
        async def ring(n: int) -> int:
            self.started.append(n)
            await self.gate.wait()
            return n

        @app.get("/streams/{n}")
        async def stream(n: int) -> StreamingResponse:
            async def texts() -> AsyncIterator[str]:
                self.started.append(n)
                await self.gate.wait()
                yield str(n)

            return StreamingResponse(texts())

        @app.get("/healthz")
        async def health() -> str:
            return "well"

        return app


@asynccontextmanager
async def client(app: FastAPI, root_path: str = "") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


async def idle() -> None:
    """Return when every task that can run has run."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["rings", "streams"])
@pytest.mark.parametrize("root_path", ["", "/shop"])
async def test_a_health_check_passes_when_all_slots_are_taken(kind: str, root_path: str) -> None:
    gate = Gate()
    async with client(gate.app(), root_path) as http:
        requests = [asyncio.create_task(http.get(f"{root_path}/{kind}/{n}")) for n in range(5)]
        await idle()
        assert gate.started == [0, 1, 2]
        assert (await http.get(f"{root_path}/healthz")).json() == "well"
        refused = await http.get(f"{root_path}/{kind}/9")
        assert (refused.status_code, refused.headers["content-type"]) == (503, problems.MEDIA_TYPE)
        assert int(refused.headers["retry-after"]) > 0
        gate.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200}
        assert gate.started == [0, 1, 2, 3, 4]


async def test_a_cancelled_request_frees_its_slot() -> None:
    gate = Gate()
    async with client(gate.app()) as http:
        requests = [asyncio.create_task(http.get(f"/rings/{n}")) for n in range(5)]
        await idle()
        for each in requests:
            each.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        gate.gate.set()
        answers = await asyncio.gather(*(http.get(f"/rings/{n}") for n in range(5)))
        assert {answer.status_code for answer in answers} == {200}


async def test_a_failed_request_frees_its_slot() -> None:
    async def fails(*_request: object) -> None:
        raise ZeroDivisionError

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        return

    guarded = Admission(fails, LIMITS)
    async with asyncio.timeout(60):
        for _ in range(LIMITS.running + LIMITS.waiting + 1):
            with pytest.raises(ZeroDivisionError):
                await guarded({"type": "http", "path": "/fault"}, receive, send)
    assert guarded.waiting == 0


def test_serve_admits_more_requests_than_each_application() -> None:
    applications = {"root": root(), **{name: application(name) for name in PREFIXES}}
    served = {each["name"]: each["deployments"] for each in DOCUMENTS[SERVE]["applications"]}
    assert set(served) == set(applications)
    for name, app in applications.items():
        kinds: list[object] = [each.cls for each in app.user_middleware]
        assert kinds.count(Admission) == 1
        limits = app.user_middleware[kinds.index(Admission)].kwargs["limits"]
        api = next(each for each in served[name] if each["name"] == "api")
        assert isinstance(limits, AdmissionLimits)
        assert api["max_ongoing_requests"] >= limits.running + limits.waiting + RESERVED
