"""The AsyncAPI 3 document, made from the registry: channels are topics, messages are CloudEvents with their data."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from data.contracts.envelope import CloudEvent
from data.contracts.registry import EVENTS
from data.contracts.topics import CONSUMERS, TOPICS
from data.version import PRODUCT_VERSION

_SCHEMAS = "#/components/schemas/{model}"


def document(bootstrap: str | None = None) -> dict[str, Any]:
    """The document as JSON-ready data. ``bootstrap``: the brokers' ``host:port``."""
    models: list[type[BaseModel]] = [CloudEvent, *(entry.model for entry in EVENTS.values())]
    _, schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_SCHEMAS)
    titles = {kind: entry.model.__name__ for kind, entry in EVENTS.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Facet events",
            "version": PRODUCT_VERSION,
            "description": "Orders from upload to shipped. Kafka's key is the event's subject; events of a subject "
            "keep their order, and `sequence` counts those of one source without gaps.",
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {"kafka": {"host": bootstrap, "protocol": "kafka"}} if bootstrap else {},
        "channels": {topic: _channel(topic) for topic in TOPICS},
        "operations": _operations(),
        "components": {
            "messages": {title: _message(kind, title) for kind, title in titles.items()},
            "schemas": schemas["$defs"],
        },
    }


def _channel(topic: str) -> dict[str, Any]:
    titles = [entry.model.__name__ for entry in EVENTS.values() if topic in entry.topics]
    return {"address": topic, "messages": {title: {"$ref": f"#/components/messages/{title}"} for title in titles}}


def _message(kind: str, title: str) -> dict[str, Any]:
    described = (EVENTS[kind].model.__doc__ or "").strip()
    data = {"properties": {"type": {"const": kind}, "data": {"$ref": _SCHEMAS.format(model=title)}}}
    return {
        "name": kind,
        "title": title,
        "summary": described,
        "contentType": "application/cloudevents+json",
        "payload": {"allOf": [{"$ref": _SCHEMAS.format(model="CloudEvent")}, data]},
    }


def _operations() -> dict[str, Any]:
    sends: dict[str, Any] = {}
    for entry in EVENTS.values():
        source = entry.model.SOURCE.removeprefix("/facet/").replace("/", "-")
        for topic in entry.topics:
            sends[f"{source}.sends.{topic}"] = {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}}
    reads = {
        f"{consumer}.reads.{topic}": {"action": "receive", "channel": {"$ref": f"#/channels/{topic}"}}
        for consumer, topics in CONSUMERS.items()
        for topic in topics
    }
    return {**sends, **reads}
