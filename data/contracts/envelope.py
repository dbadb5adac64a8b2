"""The envelope of every event: CloudEvents 1.0 in JSON, and the base of what it carries.

Readers are tolerant: members that a reader does not know are ignored, and so are types, so that a producer may add both
within version 1.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class EventData(BaseModel):
    """What an event says. A subclass names its version-1 type by its own name, its source and its topic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    SOURCE: ClassVar[str]
    """Who says it; the sequence of a subject counts the events of one source."""
    TOPIC: ClassVar[str]

    @classmethod
    def event_type(cls) -> str:
        """The CloudEvents ``type``."""
        return f"facet.{cls.__name__}.v1"

    @property
    @abstractmethod
    def subject(self) -> str:
        """What it is about; Kafka's key, so that events of a subject keep their order."""

    @property
    def topic(self) -> str:
        """Where it is published."""
        return self.TOPIC


class CloudEvent(BaseModel):
    """An event as it came. ``data`` is read by :func:`data.contracts.registry.payload`."""

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
