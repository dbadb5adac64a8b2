"""Page tokens: they decode to their position, and cannot be forged."""

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
POSITIONS = st.builds(
    Position, st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)), st.uuids()
)


@given(POSITIONS, st.text(max_size=20))
def test_a_token_decodes_to_its_position(position: Position, scope: str) -> None:
    assert CURSORS.position(CURSORS.token(position, scope), scope) == position


@given(POSITIONS, st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_token_is_refused(position: Position, at: int, by: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(CURSORS.token(position, "orders")))
    raw[at % len(raw)] ^= by
    with pytest.raises(BadCursor):
        CURSORS.position(base64.urlsafe_b64encode(raw).decode(), "orders")


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        CURSORS.position(text, "orders")


@given(POSITIONS)
def test_a_token_is_for_one_list_and_one_secret(position: Position) -> None:
    token = CURSORS.token(position, "orders?status=SHIPPED")
    with pytest.raises(BadCursor):
        CURSORS.position(token, "orders?status=CLOSED")
    with pytest.raises(BadCursor):
        Cursors(b"other").position(token, "orders?status=SHIPPED")


def test_without_a_token_a_list_starts_at_its_first_row() -> None:
    assert CURSORS.position(None, "orders") == START


def test_the_last_page_has_no_next_token() -> None:
    rows = [Position(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=n)) for n in range(3)]
    assert CURSORS.page(rows, 3, "x").next is None
    page = CURSORS.page(rows, 2, "x")
    assert page.items == rows[:2]
    assert CURSORS.position(page.next, "x") == rows[1]
