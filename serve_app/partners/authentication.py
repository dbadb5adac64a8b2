"""Authentication of partners by an API key, which this service checks in its own database."""

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
    """The API keys in this service's database. Nothing is cached: a revoked key is refused at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def partner_of(self, key: str) -> str | None:
        """See :class:`serve_app.kit.authentication.ApiKeyLookup`."""
        async with self._database.connection() as connection:
            partner_id = await repository.partner_of_key(connection, key)
        return None if partner_id is None else str(partner_id)


@dataclass(frozen=True, slots=True)
class PartnerCaller:
    """A calling partner. ``key``: the API key, which is passed on in requests to other services."""

    partner_id: UUID
    key: str


async def _caller(
    request: Request, principal: Annotated[Principal, Depends(RequireRole(Role.PARTNER))]
) -> PartnerCaller:
    key = request.headers.get("x-api-key")
    if key is None:  # an administrator with a token: there is no partner whose orders and webhooks would be meant
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "this operation is for partners, who send X-API-Key")
    return PartnerCaller(UUID(principal.id), key)


Partner = Annotated[PartnerCaller, Depends(_caller)]
