"""Event contracts: written events can be read, old stored ones too, and every event has a topic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.registry import EVENTS, payload
from data.contracts.topics import CONSUMERS, TOPICS, all_topics
from tests.support import event_examples as examples
from tests.support.event_examples import STORED_EVENTS


@pytest.mark.parametrize("event", examples.EVENTS, ids=lambda event: type(event).__name__)
class TestEveryEvent:
    def test_a_written_event_is_read_unchanged(self, event: EventData) -> None:
        read = CloudEvent.model_validate_json(examples.message(event, 7))
        assert payload(read) == event
        assert (read.subject, read.sequence, read.source) == (event.subject, 7, event.SOURCE)

    def test_its_topic_is_registered(self, event: EventData) -> None:
        assert event.topic in EVENTS[event.event_type()].topics
        assert event.topic in TOPICS

    def test_has_a_stored_message(self, event: EventData) -> None:
        assert type(event).__name__ in {path.stem for path in STORED_EVENTS}

    def test_unknown_members_are_ignored(self, event: EventData) -> None:
        message = json.loads(examples.message(event))
        message["new_member"] = message["data"]["new_member"] = {"a": 1}
        assert payload(CloudEvent.model_validate(message)) == event


@pytest.mark.parametrize("path", STORED_EVENTS, ids=lambda path: path.stem)
def test_current_models_read_old_messages(path: Path) -> None:
    stored = json.loads(path.read_text())
    read = payload(CloudEvent.model_validate(stored))
    assert read is not None
    assert type(read).__name__ == path.stem
    written = json.loads(read.model_dump_json())
    assert {name: written[name] for name in stored["data"]} == stored["data"], (
        "a member was renamed or changed its meaning"
    )


def test_all_types_have_an_example() -> None:
    assert {event.event_type() for event in examples.EVENTS} == set(EVENTS)


def test_an_unknown_type_has_no_payload() -> None:
    message = json.loads(examples.message(examples.EVENTS[0])) | {"type": "facet.OrderTeleported.v1"}
    assert payload(CloudEvent.model_validate(message)) is None


@pytest.mark.parametrize("member", ["id", "source", "type", "subject", "time", "sequence", "data", "specversion"])
def test_an_envelope_requires(member: str) -> None:
    message = json.loads(examples.message(examples.EVENTS[0]))
    del message[member]
    with pytest.raises(ValidationError, match=member):
        CloudEvent.model_validate(message)


def test_money_is_serialised_as_text_with_cents() -> None:
    priced = json.loads(examples.message(examples.EVENTS[7]))
    assert priced["data"]["quote"]["total"] == "620.10"


def test_each_priority_has_a_separate_topic() -> None:
    topics = {CONSUMERS[f"pricing-{priority}"] for priority in ("express", "standard", "bulk")}
    assert topics == {(f"pricing.requests.{priority}.v1",) for priority in ("express", "standard", "bulk")}


def test_every_consumer_has_a_dead_letter_topic() -> None:
    assert {f"{consumer}.dead-letter" for consumer in CONSUMERS} | set(TOPICS) == set(all_topics())
