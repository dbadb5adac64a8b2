"""Elapsed time by two clocks; ids that sort by time though a clock is set back."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.kit import clock
from data.kit.clock import Instant, elapsed_since
from data.kit.ids import new_id, new_id_after


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "age_s"),
    [(10, 10, 10), (300, 0, 300), (0, 300, 300), (3600, 1, 3600), (-3600, 1, 3600)],
    ids=["as usual", "paused machine", "wall clock set back meanwhile", "an hour ahead", "an hour back"],
)
def test_the_clock_that_shows_more_counts(
    monkeypatch: pytest.MonkeyPatch, wall_s: float, monotonic_s: float, age_s: float
) -> None:
    monkeypatch.setattr(clock, "instant", lambda: Instant(1e9 + wall_s, 50 + monotonic_s))
    assert elapsed_since(Instant(1e9, 50)) == age_s


def test_real_clocks_go_forward() -> None:
    then = clock.instant()
    assert elapsed_since(then) >= 0
    assert clock.instant().monotonic_s >= then.monotonic_s


@given(ahead_ms=st.integers(-(10**9), 10**9))
def test_a_later_id_sorts_after_an_earlier_one_whatever_the_clock_does(ahead_ms: int) -> None:
    earlier = UUID(int=new_id().int + ahead_ms * (1 << 80))
    later = new_id_after(earlier)
    assert later > earlier
    assert (later.version, later.variant) == (7, new_id().variant)
    assert new_id_after(None).version == 7
