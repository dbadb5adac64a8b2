"""Page tokens: they lead back to their place, and nobody else can make one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.kit.errors import BadCursor
from data.kit.paging import START, Cursors, Position

CURSORS = Cursors(b"secret")
PLACES = st.builds(
    Position, st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)), st.uuids()
)


@given(PLACES, st.text(max_size=20))
def test_a_token_leads_back_to_its_place(place: Position, scope: str) -> None:
    assert CURSORS.position(CURSORS.token(place, scope), scope) == place


@given(PLACES, st.integers(min_value=0), st.integers(1, 255))
def test_a_token_that_was_changed_is_refused(place: Position, at: int, by: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(CURSORS.token(place, "orders")))
    raw[at % len(raw)] ^= by
    with pytest.raises(BadCursor):
        CURSORS.position(base64.urlsafe_b64encode(raw).decode(), "orders")


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        CURSORS.position(text, "orders")


@given(PLACES)
def test_a_token_is_for_one_list_and_one_secret(place: Position) -> None:
    token = CURSORS.token(place, "orders?status=SHIPPED")
    with pytest.raises(BadCursor):
        CURSORS.position(token, "orders?status=CLOSED")
    with pytest.raises(BadCursor):
        Cursors(b"other").position(token, "orders?status=SHIPPED")


def test_without_a_token_a_list_begins_at_its_beginning() -> None:
    assert CURSORS.position(None, "orders") == START


def test_the_last_page_has_no_next() -> None:
    rows = [Position(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=n)) for n in range(3)]
    assert CURSORS.page(rows, 3, "x").next is None
    page = CURSORS.page(rows, 2, "x")
    assert page.items == rows[:2]
    assert CURSORS.position(page.next, "x") == rows[1]
