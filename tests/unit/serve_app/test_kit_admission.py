"""A replica works on so many requests at once; health checks pass when all places are taken."""

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
from tests.unit.cluster.cluster_files import DOCUMENTS, SERVE

LIMITS = Limits(3, 2)


@dataclass
class Gate:
    """An application whose requests and streams go on while the gate is shut; behind Admission."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[int] = field(default_factory=list)

    def app(self, root_path: str = "") -> FastAPI:
        app = FastAPI(root_path=root_path)
        problems.install(app)
        app.add_middleware(Admission, limits=LIMITS)

        @app.get("/rings/{n}")
        async def ring(n: int) -> int:
            self.begun.append(n)
            await self.gate.wait()
            return n

        @app.get("/streams/{n}")
        async def stream(n: int) -> StreamingResponse:
            async def texts() -> AsyncIterator[str]:
                self.begun.append(n)
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
    """Return when everything that can go on has."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["rings", "streams"])
@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_a_health_check_passes_when_all_places_are_taken(kind: str, root_path: str) -> None:
    async def main() -> None:
        gate = Gate()
        async with client(gate.app(root_path)) as http:
            asked = [asyncio.create_task(http.get(f"{root_path}/{kind}/{n}")) for n in range(5)]
            await idle()
            assert gate.begun == [0, 1, 2]
            assert (await http.get(f"{root_path}/healthz")).json() == "well"
            refused = await http.get(f"{root_path}/{kind}/9")
            assert (refused.status_code, refused.headers["content-type"]) == (503, problems.MEDIA_TYPE)
            assert int(refused.headers["retry-after"]) > 0
            gate.gate.set()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
            assert gate.begun == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_who_gives_up_waiting_leaves_no_place_taken() -> None:
    async def main() -> None:
        gate = Gate()
        async with client(gate.app()) as http:
            asked = [asyncio.create_task(http.get(f"/rings/{n}")) for n in range(5)]
            await idle()
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            gate.gate.set()
            answers = await asyncio.gather(*(http.get(f"/rings/{n}") for n in range(5)))
            assert {answer.status_code for answer in answers} == {200}

    asyncio.run(main())


def test_a_request_that_fails_frees_its_place() -> None:
    async def fails(*_request: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        guarded = Admission(fails, LIMITS)
        for _ in range(LIMITS.running + LIMITS.waiting + 1):
            with pytest.raises(ZeroDivisionError):
                await guarded({"type": "http", "path": "/fault"}, None, None)  # type: ignore[arg-type]
        assert guarded.waiting == 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_serve_has_places_for_all_that_an_application_admits_and_for_health_checks() -> None:
    applications = {"root": root(), **{name: application(name) for name in PREFIXES}}
    served = {each["name"]: each["deployments"] for each in DOCUMENTS[SERVE]["applications"]}
    assert set(served) == set(applications)
    for name, app in applications.items():
        (limits,) = [each.kwargs["limits"] for each in app.user_middleware if each.cls is Admission]
        api = next(each for each in served[name] if each["name"] == "api")
        assert isinstance(limits, Limits)
        assert api["max_ongoing_requests"] >= limits.running + limits.waiting + RESERVED
