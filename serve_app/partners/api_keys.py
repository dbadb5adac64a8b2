"""HTTP API of a partner's API keys."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from data.partners import repository
from data.partners.repository import ApiKey
from serve_app.kit.dependencies import ServiceDatabase
from serve_app.kit.pagination import Page, PageParams, page_response
from serve_app.kit.problems import not_found
from serve_app.kit.responses import json_response
from serve_app.partners.authentication import Partner

routes = APIRouter(tags=["keys"])


class KeyOwner(BaseModel):
    """The owner of an API key."""

    partner_id: UUID = Field(description="Id of the partner")


class KeyBody(BaseModel):
    """An API key, without the key itself."""

    key_id: UUID = Field(description="Id of the key, to revoke it by")
    hint: str = Field(description="The first letters of the key")
    revoked_at: AwareDatetime | None = Field(description="When the key was revoked; null while it is valid")
    created_at: AwareDatetime = Field(description="When the key was created")


class NewKey(KeyBody):
    """A new API key."""

    api_key: str = Field(description="The key, to be sent as `X-API-ApiKey`; it is returned only this once")


@routes.get(
    "/v1/whoami",
    summary="Get the owner of the API key",
    response_description="The partner",
    response_model=KeyOwner,
)
async def get_key_owner(caller: Partner) -> Response:
    """Return the partner that the API key of this request belongs to. Use it to test a key."""
    return json_response(KeyOwner(partner_id=caller.partner_id))


@routes.get(
    "/v1/keys",
    summary="List the partner's API keys",
    response_description="A page of keys",
    response_model=Page[KeyBody],
)
async def list_keys(page: PageParams, caller: Partner) -> Response:
    """Return the partner's keys including revoked ones, newest first; of a key, only its first letters are shown.

    Requires an API key.
    """
    return await page_response(
        page,
        f"keys {caller.partner_id}",
        lambda connection, position, limit: repository.keys(connection, caller.partner_id, position, limit),
        lambda key: _to_body(key).model_dump_json(),
    )


@routes.post(
    "/v1/keys",
    status_code=HTTPStatus.CREATED,
    summary="Create an API key",
    response_description="The new key, which is returned only this once",
    response_model=NewKey,
)
async def create_key(database: ServiceDatabase, caller: Partner) -> Response:
    """Create a further API key of the partner, for instance to replace one that is then revoked.

    Requires an API key. Takes no `Idempotency-ApiKey`: to repeat the response, the key itself would have to be stored.
    """
    async with database.transaction() as connection:
        stored, key = await repository.create_key(connection, caller.partner_id)
    body = NewKey(api_key=key, **_to_body(stored).model_dump())
    return json_response(body, HTTPStatus.CREATED, cache_control="no-store")


@routes.delete(
    "/v1/keys/{key_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Revoke an API key",
    response_description="The key is revoked",
)
async def revoke_key(database: ServiceDatabase, key_id: UUID, caller: Partner) -> Response:
    """Revoke a key for good, including the one of this request. Other services may accept it for half a minute more.

    Requires an API key. Problems: `not-found`, also for a key that is revoked already.
    """
    async with database.transaction() as connection:
        if not await repository.revoke(connection, caller.partner_id, key_id):
            raise not_found("key")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _to_body(key: ApiKey) -> KeyBody:
    return KeyBody(key_id=key.id, hint=key.hint, revoked_at=key.revoked_at, created_at=key.created_at)
