"""Tokens of an external issuer: a small OIDC provider, its discovery document and its code flow."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest
from oidc_provider_mock import User

from serve_app.kit.principal import Principal, Role
from serve_app.kit.tokens import BadToken, Verifier

CLIENT, REDIRECT_URI = "facet", "https://shop.example/signed-in"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """Yield the URL of a provider with one user, a seller, and the roles in its claims."""
    roles = {"roles": ["seller", "dancer"], "realm_access": {"roles": ["operator"]}}
    sally = User(sub="sally", claims=roles)
    with oidc_provider_mock.run_server_in_thread(user_claims=[sally]) as server:
        yield f"http://localhost:{server.server_port}"


def signed_in(issuer: str, user: str, client: str = CLIENT) -> str:
    """Return the ID token of a browser's sign-in."""
    configuration = httpx.get(f"{issuer}/.well-known/openid-configuration").raise_for_status().json()
    parameters = {"client_id": client, "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid"}
    authorized = httpx.post(configuration["authorization_endpoint"], params=parameters, data={"sub": user})
    (code,) = parse_qs(urlsplit(authorized.headers["location"]).query)["code"]
    exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    tokens = (
        httpx.post(configuration["token_endpoint"], data=exchange, auth=(client, "secret")).raise_for_status().json()
    )
    return str(tokens["id_token"])


async def test_a_user_of_an_external_issuer_is_authenticated(issuer: str) -> None:
    assert await Verifier(issuer).principal(signed_in(issuer, "sally")) == Principal("sally", frozenset({Role.SELLER}))
    assert await Verifier(issuer).principal(signed_in(issuer, "ann")) == Principal("ann", frozenset())


async def test_audience_and_roles_claim_are_configurable(issuer: str) -> None:
    verifier = Verifier(issuer, audience="another", roles_claim="realm_access.roles")
    principal = await verifier.principal(signed_in(issuer, "sally", "another"))
    assert principal.roles == {Role.OPERATOR}
    with pytest.raises(BadToken):
        await verifier.principal(signed_in(issuer, "sally"))
