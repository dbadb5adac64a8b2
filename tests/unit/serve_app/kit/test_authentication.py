"""Authentication: tokens, API keys and roles; owners of API keys are cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from joserfc.jwk import KeySet, OKPKey

from data.contracts.lifecycle import Actor
from data.kit import clock
from data.kit.clock import Instant
from serve_app.kit import authentication, problems
from serve_app.kit.authentication import Authenticator, PartnerKeyClient, RequireRole
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import Problem
from serve_app.kit.tokens import Issuer, IssuerUnreachable, Verifier

ISSUER = Issuer("http://issuer.example", OKPKey.generate_key("Ed25519"), 60)


class OneKey:
    async def partner_of(self, key: str) -> str | None:
        return "jeweller" if key == "good" else None


async def ask(verifier: Any = None, **headers: str | bytes) -> httpx.Response:
    """Request a route for sellers and partners."""
    app = FastAPI()
    problems.install(app)
    keys = KeySet.import_key_set({"keys": ISSUER.public_keys()["keys"]})
    app.state.authenticator = Authenticator(verifier or Verifier(ISSUER.name, keys), OneKey())

    @app.get("/")
    async def route(caller: Annotated[Principal, Depends(RequireRole(Role.SELLER, Role.PARTNER))]) -> str:
        return caller.id

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return await client.get(
            "/",
            headers=[(name, value if isinstance(value, bytes) else value.encode()) for name, value in named.items()],
        )


@pytest.mark.parametrize("role", [Role.SELLER, Role.ADMIN])
async def test_a_token_with_the_role_is_accepted(role: Role) -> None:
    assert (await ask(authorization=f"Bearer {ISSUER.token('ann', [role])}")).json() == "ann"
    assert (await ask(authorization=f"bearer {ISSUER.token('ann', [role])}")).json() == "ann"


async def test_a_key_is_preferred_to_a_token() -> None:
    assert (await ask(x_api_key="good")).json() == "jeweller"
    assert (await ask(x_api_key="good", authorization="Bearer nonsense")).json() == "jeweller"
    assert (await ask(x_api_key="bad", authorization=f"Bearer {ISSUER.token('ann', [Role.SELLER])}")).status_code == 401


@pytest.mark.parametrize("roles", [[], [Role.CUSTOMER], [Role.OPERATOR, Role.PRICING_CLIENT]])
async def test_another_role_is_a_403_that_names_the_right_ones(roles: list[Role]) -> None:
    answer = await ask(authorization=f"Bearer {ISSUER.token('ann', roles)}")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:facet:problem:forbidden")
    assert "seller or partner" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer "}, {"x_api_key": "bad"},
        {"authorization": "Basic YTpi"}, {"authorization": "Bearer a.b.c"}, {"authorization": b"Bearer \xe9.\xff.x"},
    ],
)  # fmt: skip
async def test_an_unauthenticated_request_is_a_401_that_names_the_scheme(headers: dict[str, Any]) -> None:
    answer = await ask(**headers)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:facet:problem:unauthorized")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_unreachable_issuer_is_a_503() -> None:
    class Away:
        async def principal(self, _token: str) -> Principal:
            raise IssuerUnreachable("away")

    answer = await ask(Away(), authorization="Bearer a.b.c")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


Answers = Callable[[httpx.Request], httpx.Response]


async def owners_of(
    answer: Answers, keys: list[str], later_s: float = 0.0, wall_s: float | None = None
) -> list[str | int | None]:
    """Return the owners of ``keys`` from the partners' service; a problem is its status. Time passes between them.

    ``wall_s``: how much passes by the wall clock, where that is not the same.
    """
    partners = PartnerKeyClient("http://test")
    await partners.close()
    partners._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    found: list[str | int | None] = []
    wall_step_s = later_s if wall_s is None else wall_s
    with pytest.MonkeyPatch.context() as patch:
        for n, key in enumerate(keys):
            at = Instant(1e9 + n * wall_step_s, n * later_s)
            patch.setattr(clock, "instant", lambda at=at: at)
            try:
                found.append(await partners.partner_of(key))
            except Problem as problem:
                found.append(int(problem.status))
    await partners.close()
    return found


class Partners:
    """The partners' service: counts its requests."""

    def __init__(self) -> None:
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if request.headers["x-api-key"] == "good":
            return httpx.Response(200, json={"partner_id": "jeweller"})
        return httpx.Response(401)


async def test_an_owner_is_cached_for_a_while() -> None:
    service = Partners()
    assert await owners_of(service, ["good"] * 5) == ["jeweller"] * 5
    assert service.requests == 1
    assert await owners_of(service, ["good", "good"], later_s=31) == ["jeweller"] * 2
    assert service.requests == 3


async def test_an_unknown_key_is_cached_for_a_shorter_time() -> None:
    service = Partners()
    assert await owners_of(service, ["bad", "bad", "é"], later_s=3) == [None] * 3
    assert service.requests == 2
    assert await owners_of(service, ["bad", "bad"], later_s=6) == [None] * 2
    assert service.requests == 4


@pytest.mark.parametrize(
    ("later_s", "wall_s"),
    [(0.0, 300.0), (300.0, 300.0), (300.0, 0.0), (0.0, 3600.0), (0.0, -3600.0)],
    ids=["paused machine", "stopped process", "wall clock stands still", "an hour ahead", "an hour back"],
)
async def test_a_revoked_key_does_not_outlive_a_suspension_or_a_clock_step(later_s: float, wall_s: float) -> None:
    answers = iter([httpx.Response(200, json={"partner_id": "jeweller"}), httpx.Response(401)])
    assert await owners_of(lambda _: next(answers), ["good", "good"], later_s, wall_s) == ["jeweller", None]


async def test_the_age_of_a_response_counts_from_its_request() -> None:
    at = 0.0

    def slow(_request: httpx.Request) -> httpx.Response:
        nonlocal at
        at += 31.0  # the key may be revoked meanwhile
        return httpx.Response(200, json={"partner_id": "jeweller"})

    partners = PartnerKeyClient("http://test")
    await partners.close()
    partners._client = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "instant", lambda: Instant(at, at))
        for n in (1, 2):
            assert await partners.partner_of("good") == "jeweller"
            assert at == 31.0 * n


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_MAX_KEYS", 3)
    service = Partners()
    await owners_of(service, ["1", "2", "3", "4", "4", "1"])
    assert service.requests == 5


async def test_an_unavailable_service_is_a_503_and_not_cached() -> None:
    def away(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away")

    assert await owners_of(away, ["good"]) == [503]
    states = iter([500, 503, 200])
    assert await owners_of(lambda _: httpx.Response(next(states), json={"partner_id": "jeweller"}), ["good"] * 3) == [
        503, 503, "jeweller",
    ]  # fmt: skip


def test_roles() -> None:
    seller, admin = Principal("ann", frozenset({Role.SELLER})), Principal("eve", frozenset({Role.ADMIN}))
    assert [seller.may(Role.SELLER), seller.may(Role.OPERATOR), seller.may(), admin.may(), admin.may(Role.PARTNER)] == [
        True, False, False, True, True,
    ]  # fmt: skip
    assert [seller.owns("ann"), seller.owns("bob"), admin.owns("bob")] == [True, False, True]
    assert seller.acting_as(Role.CUSTOMER, Role.SELLER) is Actor.SELLER
    assert admin.acting_as(Role.CUSTOMER, Role.SELLER) is Actor.ADMIN
