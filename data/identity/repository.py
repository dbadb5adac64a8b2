"""All SQL of who may sign in. Passwords are argon2 hashes; checking one takes a while on purpose, so in a thread."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from functools import cache
from uuid import UUID

from pwdlib import PasswordHash
from sqlalchemy import Text, Uuid, bindparam, select, update

from data.identity.tables import CLIENTS, USERS
from data.kit import secrets, sql
from data.kit.database import Connection
from data.kit.ids import new_id


class User(sql.Row):
    """A person who may sign in."""

    id: UUID
    username: str
    roles: tuple[str, ...]
    active: bool
    version: int


class Client(sql.Row):
    """A service that may sign in."""

    client_id: str
    roles: tuple[str, ...]


class _Secret(User):
    password: str


class _ClientSecret(Client):
    secret: bytes


_ADD = sql.Statement(
    sql.insert_into(USERS, "id", "username", "password", "roles", "active")
    .on_conflict_do_nothing(index_elements=["username"])
    .returning(USERS.c.id)
)
_shown = (USERS.c.id, USERS.c.username, USERS.c.roles, USERS.c.active, USERS.c.version)
_BY_NAME = sql.Statement(select(*_shown, USERS.c.password).where(USERS.c.username == bindparam("username")))
_GET = sql.Statement(select(*_shown).where(USERS.c.id == bindparam("user_id", type_=Uuid)))
_REHASH = sql.Statement(
    update(USERS).where(USERS.c.id == bindparam("user_id", type_=Uuid)).values(password=bindparam("hashed", type_=Text))
)
_client = sql.insert_into(CLIENTS, "client_id", "secret", "roles", "active")
_ADD_CLIENT = sql.Statement(
    _client.on_conflict_do_update(
        index_elements=["client_id"], set_={"secret": _client.excluded.secret, "roles": _client.excluded.roles}
    )
)
_CLIENT = sql.Statement(
    select(CLIENTS.c.client_id, CLIENTS.c.roles, CLIENTS.c.secret).where(
        CLIENTS.c.client_id == bindparam("client_id"), CLIENTS.c.active
    )
)


async def add_user(connection: Connection, username: str, password: str, roles: Sequence[str]) -> bool:
    """A person; one whose name is taken stays as they are: False."""
    hashed = await asyncio.to_thread(_hasher().hash, password)
    row = {"id": new_id(), "username": username.lower(), "password": hashed, "roles": list(roles), "active": True}
    return await sql.value(connection, _ADD, row) is not None


async def get(connection: Connection, ident: UUID) -> User | None:
    """A person."""
    return await sql.one(connection, _GET, {"user_id": ident}, User)


async def sign_in(connection: Connection, username: str, password: str) -> User | None:
    """Who they are, None where name or password is wrong: both take as long, so that neither tells which."""
    known = await sql.one(connection, _BY_NAME, {"username": username.lower()}, _Secret)
    hashed = known.password if known else _nobody()
    right, better = await asyncio.to_thread(_hasher().verify_and_update, password, hashed)
    if known is None or not right or not known.active:
        return None
    if better:
        await sql.run(connection, _REHASH, {"user_id": known.id, "hashed": better})
    return User.model_validate(known.model_dump(exclude={"password"}))


async def add_client(connection: Connection, client_id: str, secret: str, roles: Sequence[str]) -> None:
    """A service with a secret of :func:`data.kit.secrets.new`; a known one gets the new secret and roles."""
    row = {"client_id": client_id, "secret": secrets.digest(secret), "roles": list(roles), "active": True}
    await sql.run(connection, _ADD_CLIENT, row)


async def client(connection: Connection, client_id: str, secret: str) -> Client | None:
    """The service, None where name or secret is wrong."""
    known = await sql.one(connection, _CLIENT, {"client_id": client_id}, _ClientSecret)
    if known is None or not hmac.compare_digest(known.secret, secrets.digest(secret)):
        return None
    return Client(client_id=known.client_id, roles=known.roles)


@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _nobody() -> str:
    return _hasher().hash("nobody's password")
