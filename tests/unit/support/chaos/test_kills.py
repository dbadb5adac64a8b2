"""The report of a chaos run: the times that count as outages, and the recovery of every partition."""

from __future__ import annotations

from typing import Any

from tests.support.chaos.faults import Injected
from tests.support.chaos.kills import Killed, recovery, timeline, times_away
from tests.support.chaos.report import markdown
from tests.support.chaos.schedule import FULL_DISK, HANG, OUTAGE, Fault


def injected(kind: str, parts: tuple[str, ...], hit: str, began: float, ended: float, **fields: Any) -> Injected:
    return Injected(Fault(kind, parts, ended - began), hit, began, ended, **fields)


def test_only_outages_that_delay_a_price_are_subtracted() -> None:
    down = {"postgresql": [(0.0, 10.0), (100.0, 105.0)], "kafka": [(5.0, 20.0)], "redis": [(500.0, 900.0)]}
    faults = [
        injected(HANG, ("replica",), "events of pricing", 30, 40),
        injected(HANG, ("replica",), "api of shop", 200, 300),
        injected(HANG, ("replica",), "events of partners", 200, 300),
        injected(HANG, ("worker",), "worker at work", 200, 300),
        injected(HANG, ("dispatcher",), "dispatcher", 39, 50),
        injected(HANG, ("kafka",), "kafka", 103, 110),
        injected(FULL_DISK, ("kafka",), "disk of kafka", 400, 410),
        injected(FULL_DISK, ("models",), "disk of models", 600, 700),
        injected(OUTAGE, ("redis",), "redis", 500, 900),
    ]
    assert times_away(down, faults) == [(0, 20), (30, 50), (100, 110), (400, 410)]


def test_recovery_separates_outages_from_other_faults_and_names_stuck_partitions() -> None:
    faults = [
        injected(OUTAGE, ("kafka",), "kafka", 0, 9, ready_after_s=5.0, moved_after_s=2.0),
        injected(OUTAGE, ("postgresql", "kafka"), "postgresql and kafka", 0, 9, ready_after_s=7.0, moved_after_s=4.0),
        injected(OUTAGE, ("redis",), "redis", 0, 9, ready_after_s=1.0, moved_after_s=0.5),
        injected(OUTAGE, ("kafka", "redis"), "kafka and redis", 0, 9, ready_after_s=8.0, stuck="shop at quotes-3: 7"),
        injected(HANG, ("kafka",), "kafka", 0, 9, ready_after_s=0.1, moved_after_s=6.0),
        injected(HANG, ("worker",), "idle worker", 0, 9),
    ]
    assert recovery(faults) == {
        "partitions_move_after_outage_s": {"p50": 2.0, "max": 4.0},
        "partitions_move_after_other_server_faults_s": {"p50": 6.0, "max": 6.0},
        "parts_ready_after_outage_s": {"p50": 5.0, "max": 8.0},
        "partitions_stuck_after": ["outage of two parts (kafka and redis)"],
    }


def test_the_timeline_has_everything_in_order() -> None:
    faults = [injected(HANG, ("redis",), "redis", 110.0, 113.0, outcome="2 processes stopped, resumed")]
    found = timeline([Killed("worker", "worker at work", 112.0)], faults, [101.0, 109.5], 100.0)
    assert found == [
        (1.0, "no acknowledgement for 8.5 s"),
        (10.0, "hang of redis: redis, 3.0 s, 2 processes stopped, resumed"),
        (12.0, "kill worker at work"),
    ]


def test_the_table_shows_every_figure_and_every_fault() -> None:
    fault = {"name": "hang of kafka", "hit": "kafka", "began": 1.0, "ended": 4.0, "outcome": "resumed",
             "ready_after_s": 0.1, "moved_after_s": None, "stuck": "shop at quotes-3: 7"}  # fmt: skip
    text = markdown({"seed": 7, "kills_by_kind": {"worker": 2}, "kinds_never_hit": ["redis", "kafka"],
                     "faults": [fault], "course": [], "findings": ["one"]})  # fmt: skip
    assert "| seed | 7 |" in text
    assert "| kills by kind | worker 2 |" in text
    assert "| kinds never hit | redis, kafka |" in text
    assert "| hang of kafka | kafka | 3.0 | resumed | 0.1 | not in time |" in text
    assert "| findings | 1 |" in text
    assert text.endswith("- one\n")
