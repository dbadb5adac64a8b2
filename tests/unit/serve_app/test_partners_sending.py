"""When deliveries are tried again, who is served, and what webhooks are told."""

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
from serve_app.partners.bulkhead import FAILURES, SHARE, Bulkheads
from serve_app.partners.handlers import TYPES, message
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.partners.sender import Outcome, _signed
from tests.unit.data.test_projection import read, submitted

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@given(st.integers(1, 18))
def test_waits_double_from_five_seconds_to_half_a_day(tries: int) -> None:
    wait = RetryPolicy().after(tries)
    assert wait is not None
    law_s = min(12 * 3600, 5 * 2 ** (tries - 1))
    assert 0.9 * law_s <= wait.total_seconds() <= 1.1 * law_s


def test_given_up_after_three_days() -> None:
    waits = [RetryPolicy(jitter=0).after(tries) for tries in range(1, 19)]
    assert RetryPolicy().after(19) is None
    assert timedelta(hours=70) < sum((wait for wait in waits if wait), timedelta()) < timedelta(hours=72)


def test_waits_differ_and_trials_are_faster() -> None:
    assert len({RetryPolicy().after(9) for _ in range(20)}) == 20
    fast = RetryPolicy(factor=1000).after(1)
    assert fast is not None
    assert fast < timedelta(milliseconds=6)


class TestLanes:
    def test_one_that_is_full_gets_nothing_more(self) -> None:
        row, hook = Bulkheads(), new_id()
        using = [row.using(hook) for _ in range(SHARE)]
        for each in using:
            assert row.busy() == []
            each.__enter__()
        assert row.busy() == [hook]
        using[0].__exit__(None, None, None)
        assert row.busy() == []

    def test_one_that_does_not_answer_rests_and_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        row, hook = Bulkheads(rest_s=30.0), new_id()

        def failed(answered: bool = False) -> None:
            with row.using(hook):
                row.heard(hook, answered)

        for _ in range(FAILURES - 1):
            failed()
        assert row.busy() == []
        failed()
        assert row.busy() == [hook]
        now = 31.0
        assert row.busy() == []
        failed()
        assert row.busy() == [hook], "once it has rested, one failure is enough"
        now = 62.0
        failed(answered=True)
        failed()
        assert row.busy() == []

    @pytest.mark.parametrize(("answer", "answered"), [(200, True), (400, True), (410, True), (302, True), (429, False), (503, False), (None, False)])  # fmt: skip # noqa: E501
    def test_what_counts_as_an_answer(self, answer: int | None, answered: bool) -> None:
        assert Outcome(answer, None).answered is answered


def test_the_signature_is_that_of_standard_webhooks() -> None:
    idents = {name: new_id() for name in ("id", "webhook_id", "order_id", "event_id")}
    due = DueDelivery(**idents, type="t", body='{"é":1}', attempts=1, tries=1, url="https://a.example", secret=SECRET)
    headers = _signed(due)
    assert headers["webhook-id"] == str(due.event_id)
    assert abs(int(headers["webhook-timestamp"]) - clock.now().timestamp()) < 5
    assert Webhook(SECRET).verify(due.body.encode(), headers) == {"é": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(due.body + " ", headers)


def test_a_message_tells_the_order_as_it_was_then() -> None:
    orders = submitted()
    orders.publish(pricing.QuotePriced)
    entries = read(*reversed(orders.events)).entries
    told = [json.loads(message(new_id(), entry).model_dump_json()) for entry in entries]
    assert [each["type"] for each in told] == [event.type for event in orders.events]
    assert [each["data"]["status"] for each in told] == ["INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED"]
    assert [each["data"]["quote"] is None for each in told] == [True, True, True, False]
    assert told[3]["data"]["quote"]["total"] == "620.10"
    assert all(set(each) == {"type", "timestamp", "data"} for each in told)
    assert all(set(each["data"]) == {"order_id", "status", "at", "by", "quote"} for each in told)
    assert told[0]["timestamp"] == CloudEvent.model_validate(orders.events[0]).model_dump(mode="json")["time"]


def test_webhooks_can_be_told_of_what_changes_an_order() -> None:
    assert shop.OrderInitiated.event_type() in TYPES
    assert pricing.QuotePriced.event_type() in TYPES
    assert shop.QuoteRequested.event_type() not in TYPES
