"""Tokens: those that the issuer signed are accepted, and nothing else is."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey

from data.kit import clock
from data.kit.clock import Instant
from serve_app.kit import tokens
from serve_app.kit.principal import Principal, Role
from serve_app.kit.tokens import (
    ALGORITHMS,
    AUDIENCE,
    KEYS_MAX_AGE_S,
    LEEWAY_S,
    BadToken,
    Issuer,
    IssuerUnreachable,
    Verifier,
)  # fmt: skip

NAME = "http://issuer.example/auth"
KEY = OKPKey.generate_key("Ed25519")
ISSUER = Issuer(NAME, KEY, 60)
PUBLIC_KEYS = KeySet.import_key_set({"keys": ISSUER.public_keys()["keys"]})
VERIFIER = Verifier(NAME, PUBLIC_KEYS)


async def read(token: str, verifier: Verifier = VERIFIER) -> Principal:
    return await verifier.principal(token)


def signed(key: OKPKey = KEY, kid: str | None = None, **changes: Any) -> str:
    """A token with claims that are changed; None leaves one out."""
    now = int(time.time())
    usual = {"iss": NAME, "aud": AUDIENCE, "sub": "ann", "roles": ["customer"], "iat": now, "exp": now + 60}
    claims = {name: value for name, value in {**usual, **changes}.items() if value is not None}
    return jwt.encode({"alg": "Ed25519", "kid": kid or key.thumbprint()}, claims, key, algorithms=ALGORITHMS)


def coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_what_is_signed_is_read() -> None:
    assert await read(ISSUER.token("ann", [Role.SELLER, Role.CUSTOMER])) == Principal(
        "ann", frozenset({Role.SELLER, Role.CUSTOMER})
    )


async def test_unknown_roles_are_left_out() -> None:
    assert (await read(signed(roles=["root", "seller", 7, None]))).roles == {Role.SELLER}
    assert (await read(signed(roles="admin"))).roles == frozenset()
    assert (await read(signed(roles=None))).roles == frozenset()


@pytest.mark.parametrize("claim", ["https://facet.example/roles", "realm_access.roles", "realm_access.facet.roles"])
async def test_roles_are_found_where_the_issuer_writes_them(claim: str) -> None:
    verifier = Verifier(NAME, PUBLIC_KEYS, roles_claim=claim)
    by_url: dict[str, Any] = {"https://facet.example/roles": ["operator"]}
    by_path: dict[str, Any] = {"realm_access": {"roles": ["operator"], "facet": {"roles": ["operator"]}}}
    assert (await read(signed(**by_url, **by_path), verifier)).roles == {Role.OPERATOR}
    assert (await read(signed(realm_access=["operator"]), verifier)).roles == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://other.example/auth"}, {"iss": None}, {"aud": "another"}, {"aud": None},
        {"sub": None}, {"sub": ""}, {"exp": None}, {"exp": "soon"}, {"nbf": time.time() + 3600},
        {"iat": int(time.time()) + 3600},
    ],
    ids="-".join,  # the values change from run to run
)  # fmt: skip
async def test_claims_that_are_not_meant_for_us(changes: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        await read(signed(**changes))


async def test_clocks_may_differ_by_the_leeway() -> None:
    now = time.time()
    assert (await read(ISSUER.token("ann", [], now - ISSUER.lifetime_s - LEEWAY_S + 5))).id == "ann"
    assert (await read(ISSUER.token("ann", [], now + LEEWAY_S - 5))).id == "ann"
    for off in (-ISSUER.lifetime_s - LEEWAY_S - 5, LEEWAY_S + 5):
        with pytest.raises(BadToken):
            await read(ISSUER.token("ann", [], now + off))


async def test_a_cached_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = ISSUER.token("ann", [])
    assert (await read(token)).id == "ann"
    later = time.time() + ISSUER.lifetime_s + LEEWAY_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(BadToken):
        await read(token)


async def test_signatures_that_are_not_the_issuers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_fetch(_self: Verifier) -> None:
        return

    monkeypatch.setattr(Verifier, "_fetch", no_fetch)
    head, claims, signature = signed().split(".")
    stranger = OKPKey.generate_key("Ed25519")
    public = json.dumps(KEY.as_dict(private=False))
    by_public_key = jwt.encode(
        {"alg": "HS256", "kid": KEY.thumbprint()},
        json.loads(base64.urlsafe_b64decode(claims + "==")),
        OctKey.import_key(public),
        algorithms=["HS256"],
    )
    forgeries = {
        "another key": signed(stranger),
        "another key that calls itself ours": signed(stranger, KEY.thumbprint()),
        "no algorithm": f"{coded({'alg': 'none', 'kid': KEY.thumbprint()})}.{claims}.",
        "no algorithm, old signature": f"{coded({'alg': 'none'})}.{claims}.{signature}",
        "the public key as a secret": by_public_key,
        "other claims": f"{head}.{coded({'iss': NAME, 'aud': AUDIENCE, 'sub': 'eve', 'exp': 2**33})}.{signature}",
        "no signature": f"{head}.{claims}.",
        "an encrypted one": f"{coded({'alg': 'dir', 'enc': 'A256GCM'})}....",
    }
    for what, token in forgeries.items():
        with pytest.raises(BadToken):
            pytest.fail(f"{what}: {await read(token)}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(st.text() | st.builds(lambda *parts: ".".join(map(coded, parts)), JSON, JSON, JSON))
async def test_any_text_is_a_bad_token(token: str) -> None:
    with pytest.MonkeyPatch.context() as patch:

        async def no_fetch(_self: Verifier) -> None:
            return

        patch.setattr(Verifier, "_fetch", no_fetch)
        with pytest.raises(BadToken):
            await read(token)


@settings(deadline=None)
@given(JSON)
async def test_claims_of_any_shape_are_read_or_refused(claims: object) -> None:
    token = jwt.encode(
        {"alg": "Ed25519", "kid": KEY.thumbprint()},
        claims if isinstance(claims, dict) else {"roles": claims},
        KEY,
        algorithms=ALGORITHMS,
    )
    with pytest.raises(BadToken):
        await read(token)


@settings(deadline=None)
@given(JSON | st.lists(st.sampled_from(list(Role)) | JSON), JSON | st.text(min_size=1))
async def test_roles_and_subject_of_any_shape(roles: object, subject: object) -> None:
    if not isinstance(subject, str) or not subject:
        with pytest.raises(BadToken):
            await read(signed(roles=roles, sub=subject))
        return
    named = {name for name in roles if isinstance(name, str)} if isinstance(roles, list) else set()
    assert await read(signed(roles=roles, sub=subject)) == Principal(
        subject, frozenset(role for role in Role if role in named)
    )


class Wire(httpx.AsyncBaseTransport):
    """An issuer's address. ``keys``: its response; None while it is down."""

    def __init__(self, keys: dict[str, Any] | None) -> None:
        self.keys, self.responses, self.attempts = keys, 0, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.attempts += 1
        if self.keys is None:
            raise httpx.ConnectError("away")
        if request.url.path.endswith("/openid-configuration"):
            return httpx.Response(200, json={"jwks_uri": f"{NAME}/jwks.json"})
        self.responses += 1
        return httpx.Response(200, json=self.keys)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire(ISSUER.public_keys())
    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: client(transport=wire, **options))
    return wire


async def test_keys_are_fetched_once_and_again_for_a_new_one(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier(NAME)
    for _ in range(3):
        assert (await read(ISSUER.token("ann", []), verifier)).id == "ann"
    assert wire.responses == 1
    new = Issuer(NAME, OKPKey.generate_key("Ed25519"), 60)
    wire.keys = new.public_keys()
    with pytest.raises(BadToken):  # fetched a moment ago: unknown key ids must not cause a fetch each
        await read(new.token("bob", []), verifier)
    monkeypatch.setattr(tokens, "_FETCH_INTERVAL_S", 0.0)
    assert (await read(new.token("bob", []), verifier)).id == "bob"
    with pytest.raises(BadToken):  # tokens of the old key are not cached
        await read(ISSUER.token("ann", []), verifier)


async def test_an_unreachable_issuer_is_not_a_bad_token(wire: Wire) -> None:
    wire.keys = None
    with pytest.raises(IssuerUnreachable):
        await read(ISSUER.token("ann", []), Verifier(NAME))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time on both clocks, wall and steady, which the test moves."""
    at = [time.time(), 1000.0]
    monkeypatch.setattr(clock, "instant", lambda: Instant(*at))
    monkeypatch.setattr(time, "time", lambda: at[0])
    return at


async def test_a_cached_token_expires_although_the_wall_clock_is_set_back(at: list[float]) -> None:
    token, verifier = ISSUER.token("ann", []), Verifier(NAME, PUBLIC_KEYS)
    assert (await read(token, verifier)).id == "ann"
    at[1] += ISSUER.lifetime_s + LEEWAY_S - 1  # the wall clock shows the same: it was set back meanwhile
    assert (await read(token, verifier)).id == "ann"
    at[1] += 2
    with pytest.raises(BadToken):
        await read(token, verifier)


async def test_a_token_is_as_good_as_before_when_a_wall_clock_that_was_ahead_is_right_again(at: list[float]) -> None:
    token, verifier = ISSUER.token("ann", []), Verifier(NAME, PUBLIC_KEYS)
    at[0] += 3600
    with pytest.raises(BadToken):
        await read(token, verifier)
    at[0] -= 3600
    assert (await read(token, verifier)).id == "ann"


async def test_a_withdrawn_key_is_dropped_even_without_a_new_one(wire: Wire, at: list[float]) -> None:
    other = Issuer(NAME, OKPKey.generate_key("Ed25519"), 7200)
    wire.keys = {"keys": ISSUER.public_keys()["keys"] + other.public_keys()["keys"]}

    verifier = Verifier(NAME)
    token = other.token("ann", [])
    assert (await verifier.principal(token)).id == "ann"
    wire.keys = ISSUER.public_keys()
    at[1] += KEYS_MAX_AGE_S - 1
    assert (await verifier.principal(token)).id == "ann"
    assert wire.responses == 1
    at[1] += 2
    await verifier.principal(token)  # no request waits for the issuer
    assert verifier._refresh_task is not None
    await verifier._refresh_task
    assert wire.responses == 2
    with pytest.raises(BadToken):
        await verifier.principal(token)


@pytest.mark.parametrize("clock_that_moved", [0, 1], ids=["paused machine", "stopped process"])
async def test_after_a_suspension_the_first_caller_waits_for_the_keys(
    wire: Wire, at: list[float], clock_that_moved: int
) -> None:
    other = Issuer(NAME, OKPKey.generate_key("Ed25519"), 10**6)

    verifier = Verifier(NAME)
    wire.keys = other.public_keys()
    token = other.token("ann", [])
    assert (await verifier.principal(token)).id == "ann"
    wire.keys = ISSUER.public_keys()
    at[clock_that_moved] += 2 * KEYS_MAX_AGE_S
    with pytest.raises(BadToken):
        await verifier.principal(token)


async def test_an_unreachable_issuer_keeps_its_keys_and_gets_few_requests(wire: Wire, at: list[float]) -> None:
    verifier = Verifier(NAME)
    token = Issuer(NAME, KEY, 10**6).token("ann", [])
    assert (await verifier.principal(token)).id == "ann"
    away, wire.keys = wire.keys, None
    for _ in range(20):
        at[0] += KEYS_MAX_AGE_S
        at[1] += KEYS_MAX_AGE_S
        assert (await verifier.principal(token)).id == "ann"
        assert (await verifier.principal(token)).id == "ann"
        if verifier._refresh_task is not None:
            await verifier._refresh_task
    assert wire.attempts <= 2 + 20
    wire.keys = away
    at[1] += KEYS_MAX_AGE_S
    await verifier.principal(token)
    assert verifier._refresh_task is not None
    await verifier._refresh_task
    assert wire.responses == 2
