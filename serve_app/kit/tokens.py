"""Access tokens: JWTs made by the local issuer or by any OIDC issuer, whose public keys are read from its address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, OKPKey

from data.kit import clock
from data.kit.clock import Instant
from serve_app.kit.principal import Principal, Role

ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256")
AUDIENCE, ROLES_CLAIM = "facet", "roles"
"""What the local issuer calls us, and where it writes roles."""
LEEWAY_S = 30
"""How far the clocks of issuer and service may differ."""
KEYS_MAX_AGE_S = 600.0
"""A key that the issuer has withdrawn is accepted for so long at most, unless the issuer is away meanwhile."""
_FETCH_TIMEOUT_S, _FETCH_AGAIN_S, _REFRESH_WITHIN_S = 5.0, 10.0, 60.0
_log = structlog.get_logger(__name__)


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


@dataclass(slots=True)
class _Known:
    """A token whose signature is right. ``valid_at``: when it was first found valid."""

    claims: dict[str, Any]
    valid_at: Instant | None = None

    def check_lifetime(self) -> None:
        """Raise BadToken where more time has passed since it was first valid than it had left then.

        The claims alone are checked against the wall clock, which may have been set back meanwhile.
        """
        if self.valid_at is None:
            self.valid_at = clock.instant()
        left_s = float(self.claims["exp"]) + LEEWAY_S - self.valid_at.wall_s
        if clock.instant().monotonic_s - self.valid_at.monotonic_s > left_s:
            raise BadToken("expired_token: The token is expired")


class Verifier:
    """Reads tokens of one issuer with the public keys that its discovery document names.

    ``audience``: what the issuer calls us. ``roles_claim``: where it writes roles, a claim or a path with dots.
    """

    def __init__(
        self, issuer: str, keys: KeySet | None = None, audience: str = AUDIENCE, roles_claim: str = ROLES_CLAIM
    ) -> None:
        self._issuer, self._keys, self._roles_claim = issuer, keys, roles_claim
        self._about = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        self._fetched: Instant | None = None
        self._tried: Instant | None = None
        self._fetching = asyncio.Lock()
        self._refresh_task: asyncio.Task[None] | None = None
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
        elif self._fetched is not None and clock.elapsed_since(self._fetched) > KEYS_MAX_AGE_S:
            await self._renew_keys()
        try:
            try:
                known = self._claims(token)
            except InvalidKeyIdError:  # the issuer may have a new key
                await self._fetch()
                known = self._claims(token)
            self._registry.validate(known.claims)
            known.check_lifetime()
        except (JoseError, ValueError) as error:
            raise BadToken(str(error) or type(error).__name__) from error
        roles = _claim(known.claims, self._roles_claim)
        return Principal(str(known.claims["sub"]), known_roles(roles if isinstance(roles, list) else []))

    def _decode(self, token: str) -> _Known:
        assert self._keys is not None
        return _Known(jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims)

    async def _renew_keys(self) -> None:
        """Fetch keys that are too old, in the background: callers do not wait for an issuer that is slow or away.

        They wait where nobody tried for long (the process was suspended, or idle): what it holds may be long withdrawn.
        """
        idle_s = _FETCH_AGAIN_S if self._tried is None else clock.elapsed_since(self._tried)
        if idle_s > KEYS_MAX_AGE_S + _REFRESH_WITHIN_S:
            await self._try_to_fetch()
        elif idle_s >= _FETCH_AGAIN_S and (self._refresh_task is None or self._refresh_task.done()):
            self._refresh_task = asyncio.create_task(self._try_to_fetch(), name="renew the issuer's keys")

    async def _try_to_fetch(self) -> None:
        try:
            await self._fetch()
        except IssuerUnreachable as error:
            _log.warning("the issuer's keys stay as they are", error=str(error))

    async def _fetch(self) -> None:
        """Read the issuer's keys, unless that was done a moment ago."""
        async with self._fetching:
            fetched = self._fetched
            if fetched is not None and self._keys is not None and clock.elapsed_since(fetched) < _FETCH_AGAIN_S:
                return
            self._tried = began = clock.instant()
            try:
                async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S) as client:
                    about = (await client.get(self._about)).raise_for_status()
                    keys = (await client.get(about.json()["jwks_uri"])).raise_for_status()
                    self._keys = KeySet.import_key_set(keys.json())
            except (httpx.HTTPError, KeyError, ValueError, JoseError) as error:
                raise IssuerUnreachable(f"the issuer {self._issuer} does not give its keys: {error}") from error
            self._fetched = began
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
