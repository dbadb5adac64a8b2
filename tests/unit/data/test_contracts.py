"""Events: what is written can be read, messages stored long ago too; topics and the AsyncAPI document know all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from data.contracts.asyncapi import document
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.registry import EVENTS, payload
from data.contracts.topics import CONSUMERS, TOPICS, all_topics
from tests.unit.data import examples

STORED = sorted(Path(__file__).with_name("stored_events").glob("*.json"))


@pytest.mark.parametrize("event", examples.EVENTS, ids=lambda event: type(event).__name__)
class TestEveryEvent:
    def test_what_is_written_can_be_read(self, event: EventData) -> None:
        read = CloudEvent.model_validate_json(examples.message(event, 7))
        assert payload(read) == event
        assert (read.subject, read.sequence, read.source) == (event.subject, 7, event.SOURCE)

    def test_its_topic_is_one_of_ours(self, event: EventData) -> None:
        assert event.topic in EVENTS[event.event_type()].topics
        assert event.topic in TOPICS

    def test_there_is_a_stored_message(self, event: EventData) -> None:
        assert type(event).__name__ in {path.stem for path in STORED}

    def test_members_from_the_future_are_ignored(self, event: EventData) -> None:
        tree = json.loads(examples.message(event))
        tree["tomorrow"] = tree["data"]["tomorrow"] = {"a": 1}
        assert payload(CloudEvent.model_validate(tree)) == event


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_todays_models_read_yesterdays_messages(path: Path) -> None:
    stored = json.loads(path.read_text())
    read = payload(CloudEvent.model_validate(stored))
    assert read is not None
    assert type(read).__name__ == path.stem
    written = json.loads(read.model_dump_json())
    assert {name: written[name] for name in stored["data"]} == stored["data"], "a member lost its name or its meaning"


def test_all_types_have_an_example() -> None:
    assert {event.event_type() for event in examples.EVENTS} == set(EVENTS)


def test_a_type_from_the_future_says_nothing() -> None:
    tree = json.loads(examples.message(examples.EVENTS[0])) | {"type": "facet.OrderTeleported.v1"}
    assert payload(CloudEvent.model_validate(tree)) is None


@pytest.mark.parametrize("member", ["id", "source", "type", "subject", "time", "sequence", "data", "specversion"])
def test_an_envelope_needs(member: str) -> None:
    tree = json.loads(examples.message(examples.EVENTS[0]))
    del tree[member]
    with pytest.raises(ValidationError, match=member):
        CloudEvent.model_validate(tree)


def test_money_travels_as_text_with_cents() -> None:
    priced = json.loads(examples.message(examples.EVENTS[7]))
    assert priced["data"]["quote"]["total"] == "620.10"


def test_priorities_have_topics_of_their_own() -> None:
    topics = {CONSUMERS[f"pricing-{priority}"] for priority in ("express", "standard", "bulk")}
    assert topics == {(f"pricing.requests.{priority}.v1",) for priority in ("express", "standard", "bulk")}


def test_every_consumer_has_a_topic_for_dead_letters() -> None:
    assert {f"{consumer}.dead-letter" for consumer in CONSUMERS} | set(TOPICS) == set(all_topics())


def test_the_asyncapi_document_names_every_event_and_leads_nowhere_wrong() -> None:
    tree = document("broker:9092")
    assert set(tree["channels"]) == set(TOPICS)
    assert {message["name"] for message in tree["components"]["messages"].values()} == set(EVENTS)
    for reference in _references(tree):
        here = tree
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


def _references(tree: object) -> list[str]:
    if isinstance(tree, dict):
        own = [tree["$ref"]] if isinstance(tree.get("$ref"), str) else []
        return own + [found for value in tree.values() for found in _references(value)]
    return [found for value in tree for found in _references(value)] if isinstance(tree, list) else []
