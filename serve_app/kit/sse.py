"""Server-sent events that a browser can resume, with keep-alive comments and the headers that proxies need.

The wire format is FastAPI's, its ``EventSourceResponse`` is not used: a generator endpoint can't answer 204 to end the
reconnecting of browsers, runs two tasks for each stream, and documents ``itemSchema`` of OpenAPI 3.2 in a 3.1 document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Header
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from data.notifications.pubsub import Subscription

KEEP_ALIVE_S = 15.0
RETRY_MS = 1000
_SCHEMAS = "#/components/schemas/"

LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=2**31 - 1,
        description="Id of the last event that was received; the stream continues after it",
    ),
]


def event(event_id: int, kind: str, data: BaseModel) -> bytes:
    """Return one event; a client that reconnects sends ``event_id`` as Last-Event-ID."""
    return format_sse_event(id=str(event_id), event=kind, data_str=data.model_dump_json())


class EventStream(StreamingResponse):
    """A stream of :func:`event` blocks; None among them is a comment that keeps the connection open."""

    media_type = "text/event-stream"

    # FastAPI reads the documented status from this signature, and documents no response where there is none.
    def __init__(self, events: AsyncIterator[bytes | None], status_code: int = 200) -> None:
        super().__init__(_blocks(events), status_code, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _blocks(events: AsyncIterator[bytes | None]) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MS)
    async for block in events:
        yield KEEPALIVE_COMMENT if block is None else block


class KeepAlive:
    """Decides when an idle stream must send a comment."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription, self._idle_s = subscription, 0.0

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a notification at most ``timeout_s``; return True when a comment is due."""
        await self._subscription.wait(timeout_s)
        self._idle_s += timeout_s
        if self._idle_s < KEEP_ALIVE_S:
            return False
        self._idle_s = 0.0
        return True


def documented(data: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    """Return ``responses=`` of a stream whose events carry ``data``, which another response of the service has too.

    The schema is that of one event: OpenAPI before 3.2 has none for a stream as a whole.
    """
    content = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"{_SCHEMAS}{data.__name__}"},
    }
    members = {"id": {"type": "string"}, "event": {"type": "string"}, "data": content}
    schema = {"type": "object", "required": list(members), "properties": members}
    return {200: {"content": {EventStream.media_type: {"schema": schema}}, "description": description}}
