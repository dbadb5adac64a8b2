"""The envelope of every event: CloudEvents 1.0 in JSON, and the base class of its data.

Readers are tolerant: they ignore unknown members and unknown types, so that a producer may add both within version 1.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class EventData(BaseModel):
    """The data of an event. A subclass defines a version-1 type by its name, its source and its topic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    SOURCE: ClassVar[str]
    """The publisher; the sequence of a subject counts the events of one source."""
    TOPIC: ClassVar[str]

    @classmethod
    def event_type(cls) -> str:
        """Return the CloudEvents ``type``."""
        return f"facet.{cls.__name__}.v1"

    @property
    @abstractmethod
    def subject(self) -> str:
        """Return the id of the event's object; Kafka's key, so that events of a subject keep their order."""

    @property
    def topic(self) -> str:
        """Return the topic of the event."""
        return self.TOPIC


class CloudEvent(BaseModel):
    """The envelope of an event (CloudEvents 1.0). The member ``type`` determines the schema of ``data``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: UUID
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str = Field(min_length=1)
    time: AwareDatetime
    sequence: int = Field(ge=1)
    traceparent: str | None = None
    data: dict[str, Any]
