"""A repair of aiokafka 0.14 on uvloop: a request on a connection that the broker has just closed fails as it should.

uvloop raises RuntimeError where a closed transport is written to; asyncio does not, and aiokafka handles OSError alone
(aio-libs/aiokafka#1038). The error ended the task that keeps the metadata current, and from then on every call that
waits for fresh metadata waited for ever: the consumer took no message again until its process was replaced.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

_send = AIOKafkaConnection.send


def send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    """Send as aiokafka does; raises KafkaConnectionError, and closes the connection, where its transport is closed."""
    try:
        return _send(self, request, expect_response)
    except KafkaError:  # these are RuntimeErrors too
        raise
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def install() -> None:
    """Let every aiokafka client of this process send by :func:`send`; a second call changes nothing."""
    AIOKafkaConnection.send = send
