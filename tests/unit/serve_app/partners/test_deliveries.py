"""Deliveries: delays between attempts, bulkheads, signatures and messages."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from data.contracts import pricing, shop
from data.contracts.envelope import CloudEvent
from data.kit import clock
from data.kit.ids import new_id
from data.partners.deliveries import DueDelivery
from serve_app.partners.bulkhead import FAILURE_THRESHOLD, MAX_IN_FLIGHT, Bulkheads
from serve_app.partners.handlers import EVENT_TYPES, webhook_message
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.partners.sender import AttemptOutcome, _signed_headers
from tests.support.order_events import read, submitted

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@given(st.integers(1, 18))
def test_waits_double_from_five_seconds_to_half_a_day(tries: int) -> None:
    wait = RetryPolicy().delay_after(tries)
    assert wait is not None
    law_s = min(12 * 3600, 5 * 2 ** (tries - 1))
    assert 0.9 * law_s <= wait.total_seconds() <= 1.1 * law_s


def test_given_up_after_three_days() -> None:
    waits = [RetryPolicy(jitter=0).delay_after(tries) for tries in range(1, 19)]
    assert RetryPolicy().delay_after(19) is None
    assert timedelta(hours=70) < sum((wait for wait in waits if wait), timedelta()) < timedelta(hours=72)


def test_waits_differ_and_trials_are_faster() -> None:
    assert len({RetryPolicy().delay_after(9) for _ in range(20)}) == 20
    fast = RetryPolicy(factor=1000).delay_after(1)
    assert fast is not None
    assert fast < timedelta(milliseconds=6)


class TestBulkheads:
    def test_a_full_one_gets_no_more(self) -> None:
        bulkheads, hook = Bulkheads(), new_id()
        occupied = [bulkheads.occupy(hook) for _ in range(MAX_IN_FLIGHT)]
        for each in occupied:
            assert bulkheads.unavailable() == []
            each.__enter__()
        assert bulkheads.unavailable() == [hook]
        occupied[0].__exit__(None, None, None)
        assert bulkheads.unavailable() == []

    def test_one_that_does_not_respond_is_paused_and_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        bulkheads, hook = Bulkheads(open_s=30.0), new_id()

        def failed(responded: bool = False) -> None:
            with bulkheads.occupy(hook):
                bulkheads.record(hook, responded)

        for _ in range(FAILURE_THRESHOLD - 1):
            failed()
        assert bulkheads.unavailable() == []
        failed()
        assert bulkheads.unavailable() == [hook]
        now = 31.0
        assert bulkheads.unavailable() == []
        failed()
        assert bulkheads.unavailable() == [hook], "after the pause, one failure is enough"
        now = 62.0
        failed(responded=True)
        failed()
        assert bulkheads.unavailable() == []

    @pytest.mark.parametrize(("status", "responded"), [(200, True), (400, True), (410, True), (302, True), (429, False), (503, False), (None, False)])  # fmt: skip # noqa: E501
    def test_what_counts_as_a_response(self, status: int | None, responded: bool) -> None:
        assert AttemptOutcome(status, None).responded is responded


def test_the_signature_is_that_of_standard_webhooks() -> None:
    ids = {name: new_id() for name in ("id", "webhook_id", "order_id", "event_id")}
    due = DueDelivery(**ids, type="t", body='{"é":1}', attempts=1, tries=1, url="https://a.example", secret=SECRET)
    headers = _signed_headers(due)
    assert headers["webhook-id"] == str(due.event_id)
    assert abs(int(headers["webhook-timestamp"]) - clock.now().timestamp()) < 5
    assert Webhook(SECRET).verify(due.body.encode(), headers) == {"é": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(due.body + " ", headers)


def test_a_message_has_the_order_as_it_was_then() -> None:
    orders = submitted()
    orders.publish(pricing.QuotePriced)
    entries = read(*reversed(orders.events)).entries
    messages = [json.loads(webhook_message(new_id(), entry).model_dump_json()) for entry in entries]
    assert [each["type"] for each in messages] == [event.type for event in orders.events]
    statuses = ["INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED"]
    assert [each["data"]["status"] for each in messages] == statuses
    assert [each["data"]["quote"] is None for each in messages] == [True, True, True, False]
    assert messages[3]["data"]["quote"]["total"] == "620.10"
    assert all(set(each) == {"type", "timestamp", "data"} for each in messages)
    assert all(set(each["data"]) == {"order_id", "status", "at", "by", "quote"} for each in messages)
    assert messages[0]["timestamp"] == CloudEvent.model_validate(orders.events[0]).model_dump(mode="json")["time"]


def test_webhooks_can_subscribe_to_changes_of_status() -> None:
    assert shop.OrderInitiated.event_type() in EVENT_TYPES
    assert pricing.QuotePriced.event_type() in EVENT_TYPES
    assert shop.QuoteRequested.event_type() not in EVENT_TYPES
