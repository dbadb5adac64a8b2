"""Server-sent events that end nothing they should not, resume where a browser stopped, and tell what a proxy needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from data.notifications.pubsub import Subscription

KEEP_ALIVE_S = 15.0
RETRY_MS = 1000
_SCHEMAS = "#/components/schemas/"

LastEventId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=2**31 - 1, description="Go on after this event")
]


def event(ident: int, kind: str, data: BaseModel) -> str:
    """One event; ``ident`` comes back as Last-Event-ID."""
    return f"id: {ident}\nevent: {kind}\ndata: {data.model_dump_json()}\n\n"


class EventStream(StreamingResponse):
    """A stream of :func:`event` texts; None among them is a comment that keeps the connection open."""

    media_type = "text/event-stream"

    # FastAPI reads the documented status from this signature, and makes no document at all where there is none.
    def __init__(self, events: AsyncIterator[str | None], status_code: int = 200) -> None:
        super().__init__(_texts(events), status_code, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _texts(events: AsyncIterator[str | None]) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    async for text in events:
        yield ": still here\n\n" if text is None else text


class KeepAlive:
    """Tells when a stream that has nothing to say must say that it is there."""

    def __init__(self, news: Subscription) -> None:
        self._news, self._silent_s = news, 0.0

    async def wait(self, timeout_s: float) -> bool:
        """Wait for news at most ``timeout_s``; True when a comment is due."""
        await self._news.wait(timeout_s)
        self._silent_s += timeout_s
        if self._silent_s < KEEP_ALIVE_S:
            return False
        self._silent_s = 0.0
        return True


def documented(data: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a stream whose events bear ``data``, which another answer of the service has too.

    The schema is an event's, as OpenAPI before 3.2 has it: there is none for a stream as a whole.
    """
    told = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"{_SCHEMAS}{data.__name__}"},
    }
    members = {"id": {"type": "string"}, "event": {"type": "string"}, "data": told}
    schema = {"type": "object", "required": list(members), "properties": members}
    return {200: {"content": {EventStream.media_type: {"schema": schema}}, "description": "Server-sent events"}}
