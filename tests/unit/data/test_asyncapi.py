"""The AsyncAPI document: it covers every event, its references resolve, and every text helps an integrator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data.contracts.asyncapi import document
from data.contracts.registry import EVENTS
from data.contracts.topics import TOPICS

MIN_DESCRIPTION_LENGTH = 20


def test_covers_every_topic_and_event() -> None:
    root = document("broker:9092")
    assert set(root["channels"]) == set(TOPICS)
    assert {message["name"] for message in root["components"]["messages"].values()} == set(EVENTS)


def test_every_reference_resolves() -> None:
    root = document("broker:9092")
    for reference in texts(root, "$ref"):
        target = root
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_messages_and_operations_have_a_summary_and_a_description() -> None:
    root = document()
    for each in (*root["components"]["messages"].values(), *root["operations"].values()):
        assert each["summary"], each
        assert each["description"], each
    assert all(channel["description"] for channel in root["channels"].values())


def test_no_summary_is_a_single_word() -> None:
    assert [text for text in texts(document(), "summary") if len(text.split()) < 2] == []


def test_no_description_is_too_short() -> None:
    assert [text for text in texts(document(), "description") if len(text) < MIN_DESCRIPTION_LENGTH] == []


def test_message_descriptions_are_sentences() -> None:
    messages = document()["components"]["messages"].values()
    assert [each["name"] for each in messages if not each["description"].endswith(".")] == []
    assert [each["name"] for each in messages if each["summary"].endswith(".")] == []


def texts(node: Any, key: str) -> Iterator[str]:
    """Yield every text under ``key``, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get(key), str):
            yield node[key]
        for value in node.values():
            yield from texts(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value, key)
