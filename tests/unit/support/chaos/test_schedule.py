"""The schedule of a chaos run: every kind of fault within its bounds, and equal for equal seeds."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chaos.schedule import (
    DISKS,
    FULL_DISK,
    HANG,
    HANG_SHARE,
    HANGING,
    MAX_FULL_S,
    MAX_HANG_S,
    MAX_OUTAGE_S,
    MIN_FULL_S,
    MIN_HANG_S,
    MIN_OUTAGE_S,
    OUTAGE,
    OUTAGE_SHARE,
    SERVERS,
    kinds,
    long_schedule,
    more_hangs,
    short_schedule,
)
from tests.support.chaos.seed import VARIABLE, chaos_seed, stream

SEEDS = st.integers(-(2**40), 2**80)


@given(SEEDS, st.sets(st.sampled_from(DISKS)))
def test_ten_minutes_have_every_kind_within_its_bounds(seed: int, disks: set[str]) -> None:
    faults = long_schedule(stream(seed, "schedule"), 600, sorted(disks))
    assert faults == long_schedule(stream(seed, "schedule"), 600, sorted(disks))
    assert {fault.name for fault in faults} == set(kinds(sorted(disks)))
    outages = [fault for fault in faults if fault.kind == OUTAGE]
    assert all(MIN_OUTAGE_S <= fault.seconds <= MAX_OUTAGE_S for fault in outages)
    assert any(len(fault.parts) == 2 and 60 <= fault.seconds <= 180 for fault in outages)
    assert ("postgresql", "kafka") in {fault.parts for fault in outages}
    assert all(len(set(fault.parts)) == len(fault.parts) and set(fault.parts) <= set(SERVERS) for fault in outages)
    assert sum(fault.seconds for fault in outages) <= OUTAGE_SHARE * 600 + MIN_OUTAGE_S
    hangs = [fault for fault in faults if fault.kind == HANG]
    assert all(MIN_HANG_S <= fault.seconds <= MAX_HANG_S for fault in hangs)
    assert sum(fault.seconds for fault in hangs) <= HANG_SHARE * 600 + len(HANGING) * MIN_HANG_S
    full = [fault for fault in faults if fault.kind == FULL_DISK]
    assert all(MIN_FULL_S <= fault.seconds <= MAX_FULL_S for fault in full)
    assert all(MIN_HANG_S <= fault.seconds <= MAX_HANG_S for fault in islice(more_hangs(stream(seed, "x")), 9))


@given(SEEDS)
def test_a_shorter_run_has_every_kind_and_shorter_faults(seed: int) -> None:
    faults = long_schedule(stream(seed, "schedule"), 150, DISKS)
    assert {fault.name for fault in faults} == set(kinds(DISKS))
    assert max(fault.seconds for fault in faults) <= 45
    assert sum(fault.seconds for fault in faults if fault.kind == OUTAGE) <= 150 / 3 + 2 * MIN_OUTAGE_S


@given(SEEDS)
def test_the_short_form_has_an_outage_of_two_parts_and_a_hang(seed: int) -> None:
    faults = short_schedule(stream(seed, "schedule"))
    assert sorted(fault.kind for fault in faults) == [HANG, OUTAGE]
    assert {len(fault.parts) for fault in faults if fault.kind == OUTAGE} == {2}
    assert sum(fault.seconds for fault in faults) <= 15


def test_different_seeds_give_different_runs() -> None:
    runs = {tuple(long_schedule(stream(seed, "schedule"), 600, DISKS)) for seed in range(50)}
    assert len(runs) == 50
    assert {run[0].name for run in runs} >= {"outage of two parts", "hang of worker", "full disk of models"}


def test_the_variable_sets_the_seed_and_without_it_each_run_has_a_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uncached = chaos_seed.__wrapped__
    monkeypatch.setenv(VARIABLE, "23")
    assert uncached() == 23
    assert f"{VARIABLE}=23" in capsys.readouterr().out
    monkeypatch.delenv(VARIABLE)
    assert len({uncached() for _ in range(20)}) > 10
    assert chaos_seed() == chaos_seed()
