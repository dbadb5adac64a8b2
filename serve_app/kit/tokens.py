"""Access tokens: JWTs made by the local issuer or by any OIDC issuer, whose public keys are read from its address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, OKPKey

from serve_app.kit.principal import Principal, Role

ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256")
AUDIENCE, ROLES_CLAIM = "facet", "roles"
"""What the local issuer calls us, and where it writes roles."""
LEEWAY_S = 30
"""How far the clocks of issuer and service may differ."""
_FETCH_TIMEOUT_S, _FETCH_AGAIN_S = 5.0, 10.0


class BadToken(Exception):
    """Not a token of the issuer for us, or no longer."""


class IssuerUnreachable(Exception):
    """The issuer's keys can't be had now."""


class Issuer:
    """Signs tokens. ``key``: a private key whose public half the services read at ``<name>/jwks.json``."""

    def __init__(self, name: str, key: OKPKey, lifetime_s: int) -> None:
        self.name, self.key, self.lifetime_s = name, key, lifetime_s

    def token(self, subject: str, roles: Iterable[Role], now: float | None = None) -> str:
        """A token that says who somebody is and what they may, for ``lifetime_s``."""
        begin = int(time.time() if now is None else now)
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": subject,
            ROLES_CLAIM: sorted(roles),
            "iat": begin,
            "exp": begin + self.lifetime_s,
        }
        return jwt.encode({"alg": "Ed25519", "kid": self.key.thumbprint()}, claims, self.key, algorithms=ALGORITHMS)

    def public_keys(self) -> dict[str, Any]:
        """The key set (JWKS) that others check tokens with."""
        public = {**self.key.as_dict(private=False), "kid": self.key.thumbprint(), "use": "sig"}
        return {"keys": [public]}


class Verifier:
    """Reads tokens of one issuer with the public keys that its discovery document names.

    ``audience``: what the issuer calls us. ``roles_claim``: where it writes roles, a claim or a path with dots.
    """

    def __init__(
        self, issuer: str, keys: KeySet | None = None, audience: str = AUDIENCE, roles_claim: str = ROLES_CLAIM
    ) -> None:
        self._issuer, self._keys, self._roles_claim = issuer, keys, roles_claim
        self._about = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        self._fetched, self._fetching = 0.0, asyncio.Lock()
        self._registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._claims = lru_cache(4096)(self._decode)  # the same tokens come again and again, and a signature takes long

    async def principal(self, token: str) -> Principal:
        """Whose token it is; raises BadToken, IssuerUnreachable. Roles that we don't know are left out."""
        if self._keys is None:
            await self._fetch()
        try:
            try:
                claims = self._claims(token)
            except InvalidKeyIdError:  # the issuer may have a new key
                await self._fetch()
                claims = self._claims(token)
            self._registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise BadToken(str(error) or type(error).__name__) from error
        roles = _claim(claims, self._roles_claim)
        return Principal(str(claims["sub"]), known_roles(roles if isinstance(roles, list) else []))

    def _decode(self, token: str) -> dict[str, Any]:
        assert self._keys is not None
        return jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims

    async def _fetch(self) -> None:
        """Read the issuer's keys, unless that was done a moment ago."""
        async with self._fetching:
            if time.monotonic() < self._fetched + _FETCH_AGAIN_S and self._keys is not None:
                return
            try:
                async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S) as client:
                    about = (await client.get(self._about)).raise_for_status()
                    keys = (await client.get(about.json()["jwks_uri"])).raise_for_status()
                    self._keys = KeySet.import_key_set(keys.json())
            except (httpx.HTTPError, KeyError, ValueError, JoseError) as error:
                raise IssuerUnreachable(f"the issuer {self._issuer} does not give its keys: {error}") from error
            self._fetched = time.monotonic()
            self._claims.cache_clear()


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """The claim of that very name (some issuers name claims by URLs), or what the path leads to, if anything."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def known_roles(names: Iterable[object]) -> frozenset[Role]:
    """The roles among ``names``."""
    given = {name for name in names if isinstance(name, str)}
    return frozenset(role for role in Role if role.value in given)
