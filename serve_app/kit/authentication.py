"""Authentication of HTTP callers: a bearer token or a partner's API key becomes a Principal; routes require roles."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import httpx
from fastapi import Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from data.kit import clock
from data.kit.clock import Instant
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import Problem, unavailable
from serve_app.kit.tokens import BadToken, IssuerUnreachable, Verifier

SCHEME = HTTPBearerModel(
    description="An access token of `POST /auth/token`. Partners send their API key in the header X-API-Key instead."
)
_VALID_TTL_S, _INVALID_TTL_S, _MAX_KEYS = 30.0, 5.0, 10_000


class ApiKeyLookup(Protocol):
    """Finds the partner that an API key belongs to."""

    async def partner_of(self, key: str) -> str | None:
        """Return the id of the key's partner, None for an unknown key; raises a 503 if that can't be found out."""


class PartnerKeyClient:
    """Requests the partner from the partners' service, and caches the result for half a minute."""

    def __init__(self, api_url: str) -> None:
        self._url = f"{api_url}/partners/v1/whoami"
        self._client = httpx.AsyncClient(timeout=5.0)
        self._cache: dict[str, tuple[str | None, Instant]] = {}

    async def partner_of(self, key: str) -> str | None:
        """See :class:`ApiKeyLookup`. A revoked key may be accepted for half a minute more."""
        cached = self._cache.get(key)
        if cached and clock.elapsed_since(cached[1]) < (_VALID_TTL_S if cached[0] else _INVALID_TTL_S):
            return cached[0]
        requested_at = clock.instant()
        try:
            # As raw bytes: httpx would refuse non-ASCII letters, which no key has, but which a caller may send.
            response = await self._client.get(self._url, headers={b"X-API-Key": key.encode("latin-1")})
        except httpx.HTTPError as error:
            raise unavailable(f"API keys can't be checked now ({type(error).__name__})") from error
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
            raise unavailable("API keys can't be checked now")
        partner = response.json()["partner_id"] if response.status_code == HTTPStatus.OK else None
        if len(self._cache) >= _MAX_KEYS:
            self._cache.clear()
        # From the request on, not from the response: the key may have been revoked between them.
        self._cache[key] = partner, requested_at
        return partner

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Authenticator:
    """Authenticates callers; stored in ``app.state.authenticator``."""

    def __init__(self, verifier: Verifier, keys: ApiKeyLookup) -> None:
        self._verifier, self._keys = verifier, keys

    async def principal(self, request: Request) -> Principal:
        """Return the caller; raises a 401 that states what is missing or wrong."""
        if key := request.headers.get("x-api-key"):
            partner = await self._keys.partner_of(key)
            if partner is None:
                raise unauthorized("this API key is not valid, or was revoked")
            return Principal(partner, frozenset({Role.PARTNER}))
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("send Authorization: Bearer with a token of /auth/token, or a partner's X-API-Key")
        try:
            return await self._verifier.principal(token)
        except BadToken as error:
            raise unauthorized(f"this token is not valid ({error}); get a new one from /auth/token") from error
        except IssuerUnreachable as error:
            raise unavailable(str(error)) from error


class RequireRole(SecurityBase):
    """A dependency that returns the caller, who must have one of ``roles``; otherwise raises a 401 or 403."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles
        self.model, self.scheme_name = SCHEME, "token"

    async def __call__(self, request: Request) -> Principal:
        """Return the caller; raises a 401 without valid credentials, and a 403 without any of the roles."""
        authenticator: Authenticator = request.app.state.authenticator
        principal = await authenticator.principal(request)
        if not principal.may(*self.roles):
            names = " or ".join(self.roles)
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", f"this operation requires the role {names}")
        return principal


def unauthorized(detail: str) -> Problem:
    """Return a 401 that names the scheme, as RFC 6750 requires."""
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, {"WWW-Authenticate": 'Bearer realm="facet"'})
