"""SQL of users and clients. Passwords are argon2 hashes; verifying one is slow on purpose, so it runs in a thread."""

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


class _UserWithPassword(User):
    password: str


class _ClientWithSecret(Client):
    secret: bytes


_ADD = sql.Statement(
    sql.insert_into(USERS, "id", "username", "password", "roles", "active")
    .on_conflict_do_nothing(index_elements=["username"])
    .returning(USERS.c.id)
)
_user_columns = (USERS.c.id, USERS.c.username, USERS.c.roles, USERS.c.active, USERS.c.version)
_BY_NAME = sql.Statement(select(*_user_columns, USERS.c.password).where(USERS.c.username == bindparam("username")))
_GET = sql.Statement(select(*_user_columns).where(USERS.c.id == bindparam("user_id", type_=Uuid)))
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
    """Add a user; return False, with nothing changed, if the name is taken."""
    hashed = await asyncio.to_thread(_hasher().hash, password)
    row = {"id": new_id(), "username": username.lower(), "password": hashed, "roles": list(roles), "active": True}
    return await sql.value(connection, _ADD, row) is not None


async def get(connection: Connection, user_id: UUID) -> User | None:
    """Return a user."""
    return await sql.one(connection, _GET, {"user_id": user_id}, User)


async def sign_in(connection: Connection, username: str, password: str) -> User | None:
    """Return the user, None if name or password is wrong; both take equal time, so timing does not reveal which."""
    user = await sql.one(connection, _BY_NAME, {"username": username.lower()}, _UserWithPassword)
    hashed = user.password if user else _dummy_hash()
    valid, rehashed = await asyncio.to_thread(_hasher().verify_and_update, password, hashed)
    if user is None or not valid or not user.active:
        return None
    if rehashed:
        await sql.run(connection, _REHASH, {"user_id": user.id, "hashed": rehashed})
    return User.model_validate(user.model_dump(exclude={"password"}))


async def add_client(connection: Connection, client_id: str, secret: str, roles: Sequence[str]) -> None:
    """Add a service with a secret of :func:`data.kit.secrets.new`; an existing one gets the new secret and roles."""
    row = {"client_id": client_id, "secret": secrets.digest(secret), "roles": list(roles), "active": True}
    await sql.run(connection, _ADD_CLIENT, row)


async def client(connection: Connection, client_id: str, secret: str) -> Client | None:
    """Return the service, None if name or secret is wrong."""
    stored = await sql.one(connection, _CLIENT, {"client_id": client_id}, _ClientWithSecret)
    if stored is None or not hmac.compare_digest(stored.secret, secrets.digest(secret)):
        return None
    return Client(client_id=stored.client_id, roles=stored.roles)


@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _dummy_hash() -> str:
    return _hasher().hash("nobody's password")
