"""What an application opens when it starts, as typed dependencies of its routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from data.kit.database import Database
from data.kit.paging import Cursors
from data.model_store.store import ModelStore
from data.notifications.pubsub import Listener, Publisher
from serve_app.kit.ttl_cache import TtlCache


def from_state(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Return a dependency that reads ``app.state.<name>``; declare its type where it is used in ``Annotated``."""

    async def get(request: Request) -> Any:  # a plain function would run in a thread
        return getattr(request.app.state, name)

    return get


ServiceDatabase = Annotated[Database, Depends(from_state("database"))]
PageTokens = Annotated[Cursors, Depends(from_state("cursors"))]
ListCache = Annotated[TtlCache[Response], Depends(from_state("lists"))]
Models = Annotated[ModelStore, Depends(from_state("models"))]
ChangeListener = Annotated[Listener, Depends(from_state("listener"))]
ChangePublisher = Annotated[Publisher, Depends(from_state("publisher"))]
