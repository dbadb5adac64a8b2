"""Who calls: a partner with an API key, which this service checks in its own database."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from data.kit.database import Database
from data.partners import repository
from serve_app.kit.authentication import RequireRole
from serve_app.kit.principal import Principal, Role
from serve_app.kit.problems import Problem


class DatabaseApiKeys:
    """The API keys in this service's database. Nothing is remembered: a key that was revoked opens nothing at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def partner_of(self, key: str) -> str | None:
        """See :class:`serve_app.kit.authentication.ApiKeys`."""
        async with self._database.connection() as connection:
            partner = await repository.partner_of_key(connection, key)
        return None if partner is None else str(partner)


@dataclass(frozen=True, slots=True)
class Caller:
    """A partner. ``key``: theirs, with which other services are asked in their name."""

    partner_id: UUID
    key: str


def _caller(request: Request, who: Annotated[Principal, Depends(RequireRole(Role.PARTNER))]) -> Caller:
    key = request.headers.get("x-api-key")
    if key is None:  # an administrator, say: signed in, but whose orders and webhooks would be meant?
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "this is for partners, who send X-API-Key")
    return Caller(UUID(who.id), key)


Partner = Annotated[Caller, Depends(_caller)]
