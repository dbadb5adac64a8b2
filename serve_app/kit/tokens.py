"""Access tokens: JWTs of the local issuer or of any OIDC issuer, whose public keys are fetched from its address."""

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
"""The audience and the roles claim of the local issuer."""
LEEWAY_S = 30
"""Seconds by which the clocks of issuer and service may differ."""
KEYS_MAX_AGE_S = 600.0
"""Seconds for which a key revoked by the issuer is accepted at most, unless the issuer is down meanwhile."""
_FETCH_TIMEOUT_S, _FETCH_INTERVAL_S, _REFRESH_WITHIN_S = 5.0, 10.0, 60.0
_log = structlog.get_logger(__name__)


class BadToken(Exception):
    """Not a valid token of the issuer for this audience."""


class IssuerUnreachable(Exception):
    """The issuer's keys can't be fetched now."""


class Issuer:
    """Signs tokens. ``key``: a private key whose public half the services read at ``<name>/jwks.json``."""

    def __init__(self, name: str, key: OKPKey, lifetime_s: int) -> None:
        self.name, self.key, self.lifetime_s = name, key, lifetime_s

    def token(self, subject: str, roles: Iterable[Role], now: float | None = None) -> str:
        """Return a token with the subject and its roles, valid for ``lifetime_s``."""
        issued_at = int(time.time() if now is None else now)
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": subject,
            ROLES_CLAIM: sorted(roles),
            "iat": issued_at,
            "exp": issued_at + self.lifetime_s,
        }
        return jwt.encode({"alg": "Ed25519", "kid": self.key.thumbprint()}, claims, self.key, algorithms=ALGORITHMS)

    def public_keys(self) -> dict[str, Any]:
        """Return the key set (JWKS) that services verify tokens with."""
        public = {**self.key.as_dict(private=False), "kid": self.key.thumbprint(), "use": "sig"}
        return {"keys": [public]}


@dataclass(slots=True)
class _VerifiedToken:
    """A token whose signature is valid. ``valid_at``: when it was first found valid."""

    claims: dict[str, Any]
    valid_at: Instant | None = None

    def check_lifetime(self) -> None:
        """Raise BadToken if more time has passed since it was first found valid than it had left then.

        The claims alone are checked against the wall clock, which may have been set back meanwhile.
        """
        if self.valid_at is None:
            self.valid_at = clock.instant()
        left_s = float(self.claims["exp"]) + LEEWAY_S - self.valid_at.wall_s
        if clock.instant().monotonic_s - self.valid_at.monotonic_s > left_s:
            raise BadToken("expired_token: The token is expired")


class Verifier:
    """Verifies tokens of one issuer with the public keys that its discovery document names.

    ``audience``: the required audience. ``roles_claim``: the claim that contains roles, a name or a path with dots.
    """

    def __init__(
        self, issuer: str, keys: KeySet | None = None, audience: str = AUDIENCE, roles_claim: str = ROLES_CLAIM
    ) -> None:
        self._issuer, self._keys, self._roles_claim = issuer, keys, roles_claim
        self._discovery_url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        self._fetched_at: Instant | None = None
        self._attempted_at: Instant | None = None
        self._fetch_lock = asyncio.Lock()
        self._refresh_task: asyncio.Task[None] | None = None
        self._registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._claims = lru_cache(4096)(self._decode)  # tokens repeat, and verifying a signature is slow

    async def principal(self, token: str) -> Principal:
        """Return the token's subject and roles; raises BadToken, IssuerUnreachable. Unknown roles are left out."""
        if self._keys is None:
            await self._fetch()
        elif self._fetched_at is not None and clock.elapsed_since(self._fetched_at) > KEYS_MAX_AGE_S:
            await self._renew_keys()
        try:
            try:
                verified = self._claims(token)
            except InvalidKeyIdError:  # the issuer may have a new key
                await self._fetch()
                verified = self._claims(token)
            self._registry.validate(verified.claims)
            verified.check_lifetime()
        except (JoseError, ValueError) as error:
            raise BadToken(str(error) or type(error).__name__) from error
        roles = _claim(verified.claims, self._roles_claim)
        return Principal(str(verified.claims["sub"]), known_roles(roles if isinstance(roles, list) else []))

    def _decode(self, token: str) -> _VerifiedToken:
        assert self._keys is not None
        return _VerifiedToken(jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims)

    async def _renew_keys(self) -> None:
        """Fetch keys that are too old, in the background: callers do not wait for an issuer that is slow or down.

        They wait after a long time without an attempt (the process was suspended or idle): keys may be revoked by now.
        """
        idle_s = _FETCH_INTERVAL_S if self._attempted_at is None else clock.elapsed_since(self._attempted_at)
        if idle_s > KEYS_MAX_AGE_S + _REFRESH_WITHIN_S:
            await self._try_to_fetch()
        elif idle_s >= _FETCH_INTERVAL_S and (self._refresh_task is None or self._refresh_task.done()):
            self._refresh_task = asyncio.create_task(self._try_to_fetch(), name="renew the issuer's keys")

    async def _try_to_fetch(self) -> None:
        try:
            await self._fetch()
        except IssuerUnreachable as error:
            _log.warning("the issuer's keys could not be renewed", error=str(error))

    async def _fetch(self) -> None:
        """Fetch the issuer's keys, unless they were fetched within the last seconds."""
        async with self._fetch_lock:
            fetched_at = self._fetched_at
            if fetched_at and self._keys is not None and clock.elapsed_since(fetched_at) < _FETCH_INTERVAL_S:
                return
            self._attempted_at = started_at = clock.instant()
            try:
                async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S) as client:
                    discovery = (await client.get(self._discovery_url)).raise_for_status()
                    keys = (await client.get(discovery.json()["jwks_uri"])).raise_for_status()
                    self._keys = KeySet.import_key_set(keys.json())
            except (httpx.HTTPError, KeyError, ValueError, JoseError) as error:
                raise IssuerUnreachable(f"the issuer {self._issuer} did not return its keys: {error}") from error
            self._fetched_at = started_at
            self._claims.cache_clear()


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """Return the claim of exactly this name (some issuers use URLs), else the value at the path, else None."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def known_roles(names: Iterable[object]) -> frozenset[Role]:
    """Return the roles among ``names``."""
    texts = {name for name in names if isinstance(name, str)}
    return frozenset(role for role in Role if role.value in texts)
