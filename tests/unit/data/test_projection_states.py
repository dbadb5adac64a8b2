"""The projection of single events: the members of the state, the entry of the history, and what is refused."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import OrderStatus
from data.orders.projection import OrderState, apply_event
from data.orders.sequencing import PredecessorMissing
from tests.support import event_examples as examples

S = OrderStatus
SHOP, CRM, MES, PRICING = "/facet/shop/orders", "/facet/crm", "/facet/mes", "/facet/pricing"
LATER_QUOTE = UUID(int=examples.QUOTE.int + 1)


def event(kind: type[EventData], sequence: int = 1, **members: Any) -> CloudEvent:
    example = next(each for each in examples.EVENTS if type(each) is kind)
    data = kind.model_validate({**example.model_dump(), **members})
    return CloudEvent.model_validate(json.loads(examples.message(data, sequence)))


def unknown_event(sequence: int = 1) -> CloudEvent:
    """Return an event of a type that this version doesn't know."""
    return event(crm.OrderClosed, sequence).model_copy(update={"type": "facet.OrderPraised.v1"})


def state(status: OrderStatus | None = None, revision: int = 0, **members: Any) -> OrderState:
    return OrderState(status=status, revision=revision, **members)


def assert_refused(before: OrderState, early: CloudEvent, reason: str = "an event of another service") -> None:
    with pytest.raises(PredecessorMissing) as caught:
        apply_event(before, early)
    assert str(caught.value) == f"{early.type} of {early.subject} builds on {reason}"


def assert_counted(before: OrderState, superseded: CloudEvent, revision: int) -> None:
    """Check that an event changes nothing but the sequence of its source and the revision."""
    after, entry = apply_event(before, superseded)
    sequences = {**before.last_sequences, superseded.source: superseded.sequence}
    assert after == before.model_copy(update={"last_sequences": sequences, "revision": revision})
    assert type(after.revision) is int
    assert entry is None


class TestSequences:
    def test_an_event_that_was_applied_changes_nothing(self) -> None:
        before = state(S.PACKAGING, 8, last_sequences={MES: 3})
        for sequence in (1, 2, 3):
            assert apply_event(before, event(mes.ProductionShipped, sequence, revision=9)) == (before, None)

    def test_the_next_event_of_a_source_is_applied(self) -> None:
        before = state(S.PACKAGING, 8, last_sequences={MES: 3, CRM: 1})
        after, _ = apply_event(before, event(mes.ProductionShipped, 4, revision=9))
        assert after.last_sequences == {MES: 4, CRM: 1}

    def test_a_later_event_of_a_source_is_refused(self) -> None:
        before = state(S.PACKAGING, 8, last_sequences={MES: 3})
        assert_refused(before, event(mes.ProductionShipped, 5, revision=9), "event 4 of /facet/mes")
        assert_refused(state(), event(shop.ModelUploaded, 2), "event 1 of /facet/shop/orders")


class TestInitiated:
    def test_the_first_event_has_the_owner_and_the_priority(self) -> None:
        first = event(shop.OrderInitiated, revision=1, partner=True, priority="express", by="paula")
        after, entry = apply_event(state(), first)
        assert after == state(
            S.INITIATED, 1, owner_id="customer-1", partner=True, priority="express", last_sequences={SHOP: 1}
        )
        assert entry is not None
        assert (entry.status, entry.at, entry.by, entry.quote, entry.event) == (
            S.INITIATED, first.time, "paula", None, first,
        )  # fmt: skip

    @pytest.mark.parametrize(("revision", "expected"), [(None, 1), (0, 1), (1, 1), (2, 2), (7, 7)])
    def test_the_revision_is_that_of_the_event_but_at_least_one(self, revision: int | None, expected: int) -> None:
        after, _ = apply_event(state(), event(shop.OrderInitiated, revision=revision))
        assert after.revision == expected

    def test_it_applies_to_a_new_order_only(self) -> None:
        before = state(S.SUBMITTED, 3, owner_id="customer-1")
        assert_counted(before, event(shop.OrderInitiated, revision=1), 4)
        assert_counted(before, event(shop.OrderInitiated, revision=None), 3)

    @pytest.mark.parametrize(
        "kind", [shop.ModelUploaded, pricing.QuotePriced, pricing.QuoteCancelled, mes.ReworkOrdered]
    )
    @pytest.mark.parametrize("revision", [None, 0, 1])
    def test_nothing_else_applies_to_a_new_order(self, kind: type[EventData], revision: int | None) -> None:
        # Events of pricing have no revision, and ignore unknown members.
        assert_refused(state(submitted=(examples.QUOTE,)), event(kind, revision=revision))


class TestRevisions:
    def test_the_next_revision_is_applied_if_its_step_is_legal(self) -> None:
        after, entry = apply_event(state(S.PRICE_CALCULATED, 4), event(crm.OrderApproved, revision=5))
        assert (after.status, after.revision) == (S.MANUFACTURING_APPROVED, 5)
        assert entry is not None
        assert (entry.status, entry.by) == (S.MANUFACTURING_APPROVED, examples.ORDER_FIELDS["by"])
        assert_refused(state(S.SUBMITTED, 4), event(crm.OrderApproved, revision=5))

    def test_an_event_after_a_gap_is_refused_though_its_step_is_legal(self) -> None:
        assert_refused(state(S.PRICE_CALCULATED, 4), event(crm.OrderApproved, revision=6))

    def test_a_counted_revision_is_applied_if_its_step_is_legal_and_counted_again_if_not(self) -> None:
        after, _ = apply_event(state(S.MANUFACTURING_APPROVED, 5), event(shop.OrderCancelled, revision=5))
        assert (after.status, after.revision) == (S.CANCELLED, 6)
        assert_counted(state(S.MANUFACTURING_STARTED, 6), event(crm.OrderApproved, revision=5), 7)
        assert_counted(state(S.MANUFACTURING_STARTED, 6), event(crm.OrderApproved, revision=6), 7)

    def test_an_event_without_a_revision_waits_for_the_status_of_its_step(self) -> None:
        after, _ = apply_event(state(S.PRICE_CALCULATED, 4), event(crm.OrderApproved))
        assert (after.status, after.revision) == (S.MANUFACTURING_APPROVED, 5)
        assert_refused(state(S.SUBMITTED, 3), event(crm.OrderApproved))

    def test_a_final_status_counts_events_and_never_changes(self) -> None:
        for final in (S.CLOSED, S.REJECTED, S.CANCELLED):
            assert_counted(state(final, 6), event(crm.OrderApproved, revision=12), 7)
            assert_counted(state(final, 6), event(crm.OrderApproved), 6)
            assert_counted(state(final, 6, submitted=(examples.QUOTE,)), event(pricing.QuotePriced), 6)

    def test_an_unknown_type_is_passed_over(self) -> None:
        assert_counted(state(S.SUBMITTED, 3), unknown_event(), 3)
        assert_counted(state(), unknown_event(), 0)


class TestQuotes:
    @pytest.mark.parametrize(
        ("kind", "status"),
        [(pricing.QuotePriced, S.PRICE_CALCULATED), (pricing.QuoteNeedsReview, S.REVIEW_REQUIRED)],
    )
    def test_a_price_is_stored_with_the_state_and_the_entry(self, kind: type[EventData], status: OrderStatus) -> None:
        priced = event(kind)
        after, entry = apply_event(state(S.SUBMITTED, 3, submitted=(examples.QUOTE,)), priced)
        assert after == state(
            status, 4, submitted=(examples.QUOTE,), quote=examples.SUMMARY, last_sequences={PRICING: 1}
        )
        assert entry is not None
        assert (entry.status, entry.at, entry.by, entry.quote, entry.event) == (
            status, priced.time, "pricing", examples.SUMMARY, priced,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("kind", "status"), [(pricing.QuoteRejected, S.REJECTED), (pricing.QuoteFailed, S.PRICE_FAILED)]
    )
    def test_an_outcome_without_a_price_keeps_the_quote(self, kind: type[EventData], status: OrderStatus) -> None:
        before = state(S.SUBMITTED, 3, submitted=(examples.QUOTE,), quote=examples.SUMMARY)
        after, entry = apply_event(before, event(kind))
        assert (after.status, after.revision, after.quote) == (status, 4, examples.SUMMARY)
        assert entry is not None
        assert entry.quote == examples.SUMMARY

    def test_a_price_waits_for_its_submission(self) -> None:
        assert_refused(state(S.FILE_UPLOADED, 2), event(pricing.QuotePriced))
        assert_refused(
            state(S.SUBMITTED, 3, submitted=(examples.QUOTE,)), event(pricing.QuotePriced, quote_id=LATER_QUOTE)
        )

    def test_a_price_of_an_earlier_submission_changes_nothing(self) -> None:
        before = state(S.SUBMITTED, 5, submitted=(examples.QUOTE, LATER_QUOTE))
        assert_counted(before, event(pricing.QuotePriced), 5)
        after, _ = apply_event(before, event(pricing.QuotePriced, quote_id=LATER_QUOTE))
        assert after.status is S.PRICE_CALCULATED

    def test_a_price_for_another_status_changes_nothing(self) -> None:
        before = state(S.MANUFACTURING_APPROVED, 5, submitted=(examples.QUOTE,))
        assert_counted(before, event(pricing.QuotePriced), 5)

    def test_a_cancelled_quote_is_no_step(self) -> None:
        before = state(S.SUBMITTED, 3, submitted=(examples.QUOTE,), quote=examples.SUMMARY)
        assert_counted(before, event(pricing.QuoteCancelled), 3)

    def test_each_submission_is_stored_the_newest_last(self) -> None:
        before = state(S.FILE_UPLOADED, 2)
        after, _ = apply_event(before, event(shop.OrderSubmitted, revision=3))
        assert (after.status, after.submitted) == (S.SUBMITTED, (examples.QUOTE,))
        failed = state(S.PRICE_FAILED, 4, submitted=(examples.QUOTE,))
        again, _ = apply_event(failed, event(shop.OrderSubmitted, revision=5, quote_id=LATER_QUOTE))
        assert (again.status, again.submitted) == (S.SUBMITTED, (examples.QUOTE, LATER_QUOTE))


class TestHold:
    def test_a_hold_stores_the_status_and_its_end_restores_it(self) -> None:
        held, _ = apply_event(state(S.PACKAGING, 8), event(mes.ProductionHeld, revision=9))
        assert (held.status, held.held_from) == (S.ON_HOLD, S.PACKAGING)
        resumed, entry = apply_event(held, event(mes.ProductionResumed, 2, revision=10))
        assert (resumed.status, resumed.held_from, resumed.revision) == (S.PACKAGING, None, 10)
        assert entry is not None
        assert entry.status is S.PACKAGING

    def test_production_that_crosses_a_hold_is_an_entry_of_the_history(self) -> None:
        held = state(S.ON_HOLD, 7, held_from=S.MANUFACTURING_STARTED)
        after, entry = apply_event(held, event(mes.ProductionCompleted, revision=7))
        assert (after.status, after.held_from, after.revision) == (S.ON_HOLD, S.MANUFACTURING_COMPLETED, 8)
        assert entry is not None
        assert entry.status is S.ON_HOLD

    def test_production_after_a_hold_waits_for_its_end(self) -> None:
        held = state(S.ON_HOLD, 7, held_from=S.MANUFACTURING_STARTED)
        assert_refused(held, event(mes.ProductionCompleted, revision=8))
        assert_refused(held, event(mes.ProductionCompleted))

    def test_production_of_another_status_is_counted(self) -> None:
        held = state(S.ON_HOLD, 7, held_from=S.MANUFACTURING_STARTED)
        assert_counted(held, event(mes.ProductionShipped, revision=7), 8)
