"""Tokens of an issuer that is not ours: a small OIDC provider, its discovery document and its code flow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest
from oidc_provider_mock import User

from serve_app.kit.principal import Principal, Role
from serve_app.kit.tokens import BadToken, Verifier

CLIENT, BACK = "facet", "https://shop.example/signed-in"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """Its URL; it knows a seller, whose roles it writes as it has been told to."""
    roles = {"roles": ["seller", "dancer"], "realm_access": {"roles": ["operator"]}}
    sally = User(sub="sally", claims=roles)
    with oidc_provider_mock.run_server_in_thread(user_claims=[sally]) as server:
        yield f"http://localhost:{server.server_port}"


def signed_in(issuer: str, who: str, client: str = CLIENT) -> str:
    """The token that a browser comes back with."""
    about = httpx.get(f"{issuer}/.well-known/openid-configuration").raise_for_status().json()
    asked = {"client_id": client, "redirect_uri": BACK, "response_type": "code", "scope": "openid"}
    allowed = httpx.post(about["authorization_endpoint"], params=asked, data={"sub": who})
    (code,) = parse_qs(urlsplit(allowed.headers["location"]).query)["code"]
    exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    given = httpx.post(about["token_endpoint"], data=exchange, auth=(client, "secret")).raise_for_status().json()
    return str(given["id_token"])


def read(verifier: Verifier, token: str) -> Principal:
    return asyncio.run(verifier.principal(token))


def test_who_signed_in_elsewhere_is_known_here(issuer: str) -> None:
    assert read(Verifier(issuer), signed_in(issuer, "sally")) == Principal("sally", frozenset({Role.SELLER}))
    assert read(Verifier(issuer), signed_in(issuer, "ann")) == Principal("ann", frozenset())


def test_audience_and_roles_are_where_the_issuer_has_them(issuer: str) -> None:
    verifier = Verifier(issuer, audience="another", roles_claim="realm_access.roles")
    assert read(verifier, signed_in(issuer, "sally", "another")).roles == {Role.OPERATOR}
    with pytest.raises(BadToken):
        read(verifier, signed_in(issuer, "sally"))
