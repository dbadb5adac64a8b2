"""Sign-in of HTTP callers: a bearer token, or a partner's API key, becomes a Principal; a route says whom it serves."""

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

SCHEME = HTTPBearerModel(description="A token of /auth/token. Partners send their key as X-API-Key instead.")
_KNOWN_S, _UNKNOWN_S, _MOST_KEYS = 30.0, 5.0, 10_000


class ApiKeyLookup(Protocol):
    """Whoever knows the partners' keys."""

    async def partner_of(self, key: str) -> str | None:
        """The partner whose key this is; raises a 503 where nobody can tell."""


class PartnerKeyClient:
    """Asks the partners' service, and remembers its answer for half a minute."""

    def __init__(self, api_url: str) -> None:
        self._url = f"{api_url}/partners/v1/whoami"
        self._client = httpx.AsyncClient(timeout=5.0)
        self._known: dict[str, tuple[str | None, Instant]] = {}

    async def partner_of(self, key: str) -> str | None:
        """See :class:`ApiKeyLookup`. A key that was revoked may open doors for half a minute more."""
        known = self._known.get(key)
        if known and clock.elapsed_since(known[1]) < (_KNOWN_S if known[0] else _UNKNOWN_S):
            return known[0]
        asked_at = clock.instant()
        try:
            # As the bytes that came: httpx would refuse letters beyond ASCII, which no key has, but a caller may send.
            answer = await self._client.get(self._url, headers={b"X-API-Key": key.encode("latin-1")})
        except httpx.HTTPError as error:
            raise unavailable(f"API keys can't be checked now ({type(error).__name__})") from error
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
            raise unavailable("API keys can't be checked now")
        partner = answer.json()["partner_id"] if answer.status_code == HTTPStatus.OK else None
        if len(self._known) >= _MOST_KEYS:
            self._known.clear()
        # From the question on, not from the answer: between them the key may have been revoked.
        self._known[key] = partner, asked_at
        return partner

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Authenticator:
    """Recognises callers; kept in ``app.state.sign_in``."""

    def __init__(self, verifier: Verifier, keys: ApiKeyLookup) -> None:
        self._verifier, self._keys = verifier, keys

    async def principal(self, request: Request) -> Principal:
        """Who calls; raises a 401 that says what is missing or wrong."""
        if key := request.headers.get("x-api-key"):
            partner = await self._keys.partner_of(key)
            if partner is None:
                raise unauthorized("this API key is not valid, or was withdrawn")
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
    """A dependency: the caller, who has one of ``roles``; else 401 or 403."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles
        self.model, self.scheme_name = SCHEME, "token"

    async def __call__(self, request: Request) -> Principal:
        sign_in: Authenticator = request.app.state.sign_in
        principal = await sign_in.principal(request)
        if not principal.may(*self.roles):
            names = " or ".join(self.roles)
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", f"this is for the role {names}")
        return principal


def unauthorized(detail: str) -> Problem:
    """A 401 that names the scheme, as RFC 6750 wants."""
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, {"WWW-Authenticate": 'Bearer realm="facet"'})
