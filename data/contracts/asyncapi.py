"""The AsyncAPI 3 document, built from the registry: channels are topics, messages are CloudEvents with their data."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from data.contracts.envelope import CloudEvent
from data.contracts.registry import EVENTS
from data.contracts.topics import CONSUMERS, TOPIC_DESCRIPTIONS, TOPICS

_SCHEMAS = "#/components/schemas/{model}"


def document(bootstrap: str | None = None) -> dict[str, Any]:
    """Return the document as JSON-ready data. ``bootstrap``: the brokers' ``host:port``."""
    models: list[type[BaseModel]] = [CloudEvent, *(definition.model for definition in EVENTS.values())]
    _, schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_SCHEMAS)
    titles = {kind: definition.model.__name__ for kind, definition in EVENTS.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Facet events",
            "version": "1",
            "description": "Events of orders from upload to shipment. The Kafka key is the event's subject; events of "
            "one subject keep their order, and `sequence` counts those of one source without gaps. Delivery is at "
            "least once: skip an event whose `id` was handled before. Ignore unknown members and types.",
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
    titles = [definition.model.__name__ for definition in EVENTS.values() if topic in definition.topics]
    return {
        "address": topic,
        "description": TOPIC_DESCRIPTIONS[topic],
        "messages": {title: {"$ref": f"#/components/messages/{title}"} for title in titles},
    }


def _message(kind: str, title: str) -> dict[str, Any]:
    """Return a message whose summary and description are the first line and the body of the model's docstring."""
    summary, _, body = inspect.cleandoc(EVENTS[kind].model.__doc__ or "").partition("\n\n")
    data = {"properties": {"type": {"const": kind}, "data": {"$ref": _SCHEMAS.format(model=title)}}}
    return {
        "name": kind,
        "title": title,
        "summary": summary.removesuffix("."),
        "description": " ".join(body.split()),
        "contentType": "application/cloudevents+json",
        "payload": {"allOf": [{"$ref": _SCHEMAS.format(model="CloudEvent")}, data]},
    }


def _operations() -> dict[str, Any]:
    sends: dict[str, Any] = {}
    for definition in EVENTS.values():
        source = definition.model.SOURCE.removeprefix("/facet/").replace("/", "-")
        for topic in definition.topics:
            sends[f"{source}.sends.{topic}"] = _operation(
                "send", topic, f"Publish events of {source} to {topic}", f"The source {source} publishes"
            )
    reads = {
        f"{consumer}.reads.{topic}": _operation(
            "receive", topic, f"Read {topic} as consumer {consumer}", f"The consumer group {consumer} applies"
        )
        for consumer, topics in CONSUMERS.items()
        for topic in topics
    }
    return {**sends, **reads}


def _operation(action: str, topic: str, summary: str, subject: str) -> dict[str, Any]:
    description = f"{subject} these events: {TOPIC_DESCRIPTIONS[topic]}"
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": summary,
        "description": description,
    }
