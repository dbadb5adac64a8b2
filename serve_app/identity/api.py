"""Tokens over HTTP: OAuth2's password grant for people, client credentials for services, and the keys to check them."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from joserfc.jwk import OKPKey
from pydantic import BaseModel
from starlette.responses import JSONResponse

from data.identity import repository
from data.kit.database import Database
from serve_app.kit.app import build_service, state
from serve_app.kit.authentication import unauthorized
from serve_app.kit.problems import Problem
from serve_app.kit.settings import settings
from serve_app.kit.tokens import Issuer, known_roles

routes = APIRouter(tags=["auth"])
Basic = Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))]
Text = Annotated[str | None, Form(max_length=500)]


class Token(BaseModel):
    """A token: send it as `Authorization: Bearer ...`."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int


class KeySet(BaseModel):
    """Public keys (JWKS)."""

    keys: list[dict[str, Any]]


@routes.post("/token", response_model=Token)
async def token(
    request: Request,
    grant_type: Annotated[Literal["password", "client_credentials"], Form()],
    basic: Basic,
    username: Text = None,
    password: Text = None,
    client_id: Text = None,
    client_secret: Text = None,
) -> JSONResponse:
    """A token for who knows the password (people) or the secret (services; also by HTTP Basic)."""
    database: Database = state(request, "database")
    if grant_type == "password":
        if username is None or password is None:
            raise _incomplete("username and password")
        async with database.connection() as connection:
            user = await repository.sign_in(connection, username, password)
        if user is None:
            raise unauthorized("username or password is wrong")
        return _answer(request, user.username, user.roles)
    name, secret = (basic.username, basic.password) if basic else (client_id, client_secret)
    if name is None or secret is None:
        raise _incomplete("client_id and client_secret")
    async with database.connection() as connection:
        client = await repository.client(connection, name, secret)
    if client is None:
        raise unauthorized("client_id or client_secret is wrong")
    return _answer(request, client.client_id, client.roles)


@routes.get("/jwks.json", response_model=KeySet)
async def keys(request: Request) -> JSONResponse:
    """The public keys that tokens are checked with."""
    return JSONResponse(_issuer(request).public_keys())


@routes.get("/.well-known/openid-configuration")
async def discovery(request: Request) -> dict[str, Any]:
    """Where what is (OpenID Connect Discovery)."""
    issuer = _issuer(request).name
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks.json",
        "grant_types_supported": ["password", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "id_token_signing_alg_values_supported": ["Ed25519"],
    }


def _answer(request: Request, subject: str, roles: tuple[str, ...]) -> JSONResponse:
    issuer = _issuer(request)
    made = Token(access_token=issuer.token(subject, known_roles(roles)), expires_in=issuer.lifetime_s)
    return JSONResponse(made.model_dump(), headers={"Cache-Control": "no-store"})


def _incomplete(what: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "incomplete-grant", f"this grant needs the form fields {what}")


def _issuer(request: Request) -> Issuer:
    return state(request, "issuer")  # type: ignore[no-any-return]


async def _open(app: FastAPI, _database: Database, _stack: AsyncExitStack) -> None:
    key = OKPKey.import_key(json.loads(settings().needed("signing_key")))
    app.state.issuer = Issuer(settings().issuer_url, key, settings().token_lifetime_s)


def build() -> FastAPI:
    """The application, to be served under ``/auth``."""
    return build_service("identity", [routes], _open, "Tokens for people and services.")
