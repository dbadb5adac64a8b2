"""Issue tokens to users and services that prove who they are."""

from __future__ import annotations

from http import HTTPStatus

from fastapi.security import HTTPBasicCredentials

from data.identity import repository
from data.kit.database import Database
from serve_app.kit.authentication import unauthorized
from serve_app.kit.problems import Problem
from serve_app.kit.tokens import Issuer, known_roles


async def token_for_user(database: Database, issuer: Issuer, username: str | None, password: str | None) -> str:
    """Return a token for a user (grant `password`); raises a 400 for missing fields, a 401 for a wrong password."""
    if username is None or password is None:
        raise _incomplete("username and password")
    async with database.connection() as connection:
        user = await repository.sign_in(connection, username, password)
    if user is None:
        raise unauthorized("username or password is wrong")
    return issuer.token(user.username, known_roles(user.roles))


async def token_for_client(
    database: Database,
    issuer: Issuer,
    basic: HTTPBasicCredentials | None,
    client_id: str | None,
    client_secret: str | None,
) -> str:
    """Return a token for a service (grant `client_credentials`); HTTP Basic counts more than the form fields.

    Raises a 400 for missing fields, a 401 for a wrong secret.
    """
    name, secret = (basic.username, basic.password) if basic else (client_id, client_secret)
    if name is None or secret is None:
        raise _incomplete("client_id and client_secret")
    async with database.connection() as connection:
        client = await repository.client(connection, name, secret)
    if client is None:
        raise unauthorized("client_id or client_secret is wrong")
    return issuer.token(client.client_id, known_roles(client.roles))


def _incomplete(fields: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "incomplete-grant", f"this grant needs the form fields {fields}")
