"""A partner's API keys."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from data.partners import repository
from data.partners.repository import ApiKey
from serve_app.kit.answers import Page, PageParams, json_response, page_response
from serve_app.kit.app import database
from serve_app.kit.problems import not_found
from serve_app.partners.authentication import Partner

routes = APIRouter(tags=["keys"])


class Whose(BaseModel):
    """Whose key it is."""

    partner_id: UUID


class KeyBody(BaseModel):
    """An API key without itself. ``hint``: its first letters."""

    key_id: UUID
    hint: str
    revoked_at: AwareDatetime | None
    created_at: AwareDatetime


class NewKey(KeyBody):
    """A new key: this is the only time that it is shown."""

    api_key: str


@routes.get("/v1/whoami", response_model=Whose)
async def whoami(who: Partner) -> Response:
    """Whose key this is."""
    return json_response(Whose(partner_id=who.partner_id))


@routes.get("/v1/keys", response_model=Page[KeyBody])
async def keys(request: Request, asked: PageParams, who: Partner) -> Response:
    """One's own keys, those that were withdrawn too, newest first."""
    return await page_response(
        request,
        f"keys {who.partner_id}",
        asked,
        lambda connection, place, limit: repository.keys(connection, who.partner_id, place, limit),
        lambda key: _shown(key).model_dump_json(),
    )


@routes.post("/v1/keys", status_code=HTTPStatus.CREATED, response_model=NewKey)
async def make(request: Request, who: Partner) -> Response:
    """One key more. Takes no Idempotency-Key: to answer again with the same key, we would have to keep it."""
    async with database(request).transaction() as connection:
        kept, key = await repository.create_key(connection, who.partner_id)
    body = NewKey(api_key=key, **_shown(kept).model_dump())
    return json_response(body, HTTPStatus.CREATED, cache_control="no-store")


@routes.delete("/v1/keys/{key_id}", status_code=HTTPStatus.NO_CONTENT)
async def revoke(request: Request, key_id: UUID, who: Partner) -> Response:
    """Withdraw a key, for good. Other services may take it for half a minute more."""
    async with database(request).transaction() as connection:
        if not await repository.revoke(connection, who.partner_id, key_id):
            raise not_found("key")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _shown(key: ApiKey) -> KeyBody:
    return KeyBody(key_id=key.id, hint=key.hint, revoked_at=key.revoked_at, created_at=key.created_at)
