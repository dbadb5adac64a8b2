"""A fix for aiokafka 0.14 on uvloop: make a request on a connection that the broker has just closed fail as it should.

uvloop raises RuntimeError on a write to a closed transport; asyncio does not, and aiokafka handles OSError alone
(aio-libs/aiokafka#1038). The error ended the task that refreshes the metadata, and from then on every call that
waits for new metadata waited for ever: the consumer received no message until its process was restarted.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

_send = AIOKafkaConnection.send


def send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    """Send as aiokafka does; raise KafkaConnectionError, and close the connection, if its transport is closed."""
    try:
        return _send(self, request, expect_response)
    except KafkaError:  # these are RuntimeErrors too
        raise
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def install() -> None:
    """Make every aiokafka client of this process use :func:`send`; a second call changes nothing."""
    AIOKafkaConnection.send = send
