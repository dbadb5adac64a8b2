"""HTTP API of the token issuer: OAuth2's password grant for people, client credentials for services, public keys."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Form
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from joserfc.jwk import OKPKey
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from data.kit.database import Database
from serve_app.identity import service
from serve_app.kit.app import build_service
from serve_app.kit.dependencies import ServiceDatabase, from_state
from serve_app.kit.settings import settings
from serve_app.kit.tokens import Issuer

routes = APIRouter(tags=["auth"])
Basic = Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))]
LocalIssuer = Annotated[Issuer, Depends(from_state("issuer"))]


class Token(BaseModel):
    """An access token: send it as `Authorization: Bearer ...`."""

    access_token: str = Field(description="The token, a signed JWT")
    token_type: Literal["Bearer"] = Field(default="Bearer", description="How the token is sent")
    expires_in: int = Field(description="Seconds until the token expires")


class KeySet(BaseModel):
    """Public keys (JWKS, RFC 7517)."""

    keys: list[dict[str, Any]] = Field(description="The keys as JSON Web Keys")


@routes.post(
    "/token",
    summary="Get an access token",
    response_description="The token, which must not be cached",
    response_model=Token,
)
async def create_token(
    database: ServiceDatabase,
    issuer: LocalIssuer,
    grant_type: Annotated[
        Literal["password", "client_credentials"], Form(description="`password` for people, else `client_credentials`")
    ],
    basic: Basic,
    username: Annotated[str | None, Form(max_length=500, description="Of the grant `password`")] = None,
    password: Annotated[str | None, Form(max_length=500, description="Of the grant `password`")] = None,
    client_id: Annotated[str | None, Form(max_length=500, description="Of the grant `client_credentials`")] = None,
    client_secret: Annotated[str | None, Form(max_length=500, description="Of the grant `client_credentials`")] = None,
) -> JSONResponse:
    """Exchange a user's password, or a service's secret, for a token to be sent as `Authorization: Bearer ...`.

    OAuth2 (RFC 6749): the grant `password` is for people, `client_credentials` for services, which may send their
    credentials by HTTP Basic too. Partners need no token: they send `X-API-Key`. Problems: `unauthorized` for wrong
    credentials, `incomplete-grant` for missing fields.
    """
    if grant_type == "password":
        token = await service.token_for_user(database, issuer, username, password)
    else:
        token = await service.token_for_client(database, issuer, basic, client_id, client_secret)
    body = Token(access_token=token, expires_in=issuer.lifetime_s)
    return JSONResponse(body.model_dump(), headers={"Cache-Control": "no-store"})


@routes.get(
    "/jwks.json",
    summary="Get the keys that verify tokens",
    response_description="The public keys",
    response_model=KeySet,
)
async def get_keys(issuer: LocalIssuer) -> JSONResponse:
    """Return the public keys (JWKS) with which services verify the signatures of tokens. Needs no credentials."""
    return JSONResponse(issuer.public_keys())


@routes.get(
    "/.well-known/openid-configuration",
    summary="Get the configuration of the issuer",
    response_description="The discovery document",
)
async def get_configuration(issuer: LocalIssuer) -> dict[str, Any]:
    """Return the addresses and capabilities of the issuer (OpenID Connect Discovery). Needs no credentials."""
    return {
        "issuer": issuer.name,
        "token_endpoint": f"{issuer.name}/token",
        "jwks_uri": f"{issuer.name}/jwks.json",
        "grant_types_supported": ["password", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "id_token_signing_alg_values_supported": ["Ed25519"],
    }


async def _open(app: FastAPI, _database: Database, _stack: AsyncExitStack) -> None:
    key = OKPKey.import_key(json.loads(settings().needed("signing_key")))
    app.state.issuer = Issuer(settings().issuer_url, key, settings().token_lifetime_s)


def build() -> FastAPI:
    """Return the application, to be served under ``/auth``."""
    return build_service("identity", [routes], _open, "Access tokens for people and services.")
