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

from serve_app.kit import problems
from serve_app.kit.admission import RESERVED, Admission, Limits
from serve_app.services import PREFIXES, application, root
from tests.support.cluster_files import DOCUMENTS, SERVE

LIMITS = Limits(3, 2)


@dataclass
class Gate:
    """An application behind Admission, whose requests and streams run while the gate is shut."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: list[int] = field(default_factory=list)

    def app(self, root_path: str = "") -> FastAPI:
        app = FastAPI(root_path=root_path)
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
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


async def idle() -> None:
    """Return when every task that can run has run."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["rings", "streams"])
@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_a_health_check_passes_when_all_slots_are_taken(kind: str, root_path: str) -> None:
    async def main() -> None:
        gate = Gate()
        async with client(gate.app(root_path)) as http:
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

    asyncio.run(main())


def test_a_cancelled_request_frees_its_slot() -> None:
    async def main() -> None:
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

    asyncio.run(main())


def test_a_failed_request_frees_its_slot() -> None:
    async def fails(*_request: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        guarded = Admission(fails, LIMITS)
        for _ in range(LIMITS.running + LIMITS.waiting + 1):
            with pytest.raises(ZeroDivisionError):
                await guarded({"type": "http", "path": "/fault"}, None, None)  # type: ignore[arg-type]
        assert guarded.waiting == 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_serve_admits_more_requests_than_each_application() -> None:
    applications = {"root": root(), **{name: application(name) for name in PREFIXES}}
    served = {each["name"]: each["deployments"] for each in DOCUMENTS[SERVE]["applications"]}
    assert set(served) == set(applications)
    for name, app in applications.items():
        (limits,) = [each.kwargs["limits"] for each in app.user_middleware if each.cls is Admission]
        api = next(each for each in served[name] if each["name"] == "api")
        assert isinstance(limits, Limits)
        assert api["max_ongoing_requests"] >= limits.running + limits.waiting + RESERVED
