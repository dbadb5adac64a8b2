"""Place orders while kills, outages, hangs and full disks hit the stack; then check every acknowledgement.

The short form runs with the tests of the services, the long one with ``make chaos``.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cluster.local.state import Folder
from tests.support.chaos import schedule
from tests.support.chaos.audit import Databases, audit, wait_until_idle
from tests.support.chaos.faults import DownTimes, Injected, Injector
from tests.support.chaos.intervals import Interval, percentiles, union
from tests.support.chaos.schedule import FULL_DISK, HANG, OUTAGE
from tests.support.chaos.seed import stream
from tests.support.chaos.strikes import VICTIMS, WEIGHTS, kill
from tests.support.chaos.traffic import Traffic
from tests.support.stack import Stack

SETTLE_WITHIN_S = 240.0
SILENCE_THRESHOLD_S = 2.0
EXTRA_KILL_TIME_S = 60.0
"""Extra time for kills if a kind of victim has not been hit yet."""
NEEDED_FOR_A_PRICE = frozenset({"postgresql", "kafka", "dispatcher", "events of shop", "events of pricing"})
"""The single parts between a submission and its price: the order waits while one of them is unavailable."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``seconds`` of faults, a kill every ``every_s`` on average; ``rate`` orders are placed a second.

    ``long``: every kind of long fault, else one outage and one hang.
    """

    seconds: float
    every_s: float
    seed: int
    long: bool
    rate: float = 3.0


@dataclass(frozen=True, slots=True)
class Killed:
    """A killed victim, and when (seconds since the epoch)."""

    kind: str
    victim: str
    at: float


def disturbed(stack: Stack, plan: Plan, folder: Path) -> dict[str, Any]:
    """Run ``plan``, wait until the stack is idle and audit it; return the report with its ``findings``."""
    traffic = Traffic(stack, folder, plan.rate, plan.seed)
    orders_before = Databases(stack).count("shop", "SELECT count(*) FROM orders")
    place, began = Folder(stack.folder / ".facet" / "stack"), time.time()
    with DownTimes(place) as down_times:
        injector = Injector(place, stack.kafka, stack.disks, stream(plan.seed, "faults"), down_times)
        traffic.start()
        try:
            kills = _faults(place, plan, injector)
            hit_s = time.time() - began
        finally:
            traffic.stop(SETTLE_WITHIN_S)
        busy = wait_until_idle(stack, SETTLE_WITHIN_S)
        idle_s = time.time() - began - hit_s
        away = times_away({part: down_times.of(part) for part in schedule.SERVERS}, injector.injected)
    ledger = traffic.ledger
    found = audit(stack, ledger, orders_before, away)
    kinds = Counter(each.fault.name for each in injector.injected)
    never = sorted(set(VICTIMS) - {each.kind for each in kills})
    never += [] if not plan.long else sorted(set(schedule.kinds(list(stack.disks))) - kinds.keys())
    findings = [*(f"not idle: {each}" for each in busy), *ledger.faults, *found.findings]
    findings += [f"given up: {each}" for each in ledger.given_up]
    findings += [f"never hit: {each}" for each in (*never, *injector.not_hit)]
    findings += [
        f"after {each.fault.name} ({each.hit}) stuck: {each.stuck}" for each in injector.injected if each.stuck
    ]
    return {
        "seed": plan.seed,
        "seconds": round(hit_s, 1),
        "seconds_to_idle": round(idle_s, 1),
        "kills": len(kills),
        "kills_by_kind": _counts(each.kind for each in kills),
        "kills_by_victim": _counts(each.victim for each in kills),
        "long_faults": dict(sorted(kinds.items())),
        "full_disk": "tried" if stack.disks else "not tried" + _why_no_disks(stack, plan),
        "kinds_never_hit": never,
        **_seconds(injector.injected),
        **recovery(injector.injected),
        **_silences(ledger.acknowledged_at, began),
        "answers": dict(sorted(ledger.answers.items())),
        **found.counted,
        "faults": [{"name": each.fault.name, **asdict(each)} for each in injector.injected],
        "course": timeline(kills, injector.injected, ledger.acknowledged_at, began, found.waits),
        "findings": findings,
    }


def _faults(place: Folder, plan: Plan, injector: Injector) -> list[Killed]:
    """Kill processes and inject long faults concurrently, until the time has passed and every kind was hit."""
    until = time.monotonic() + plan.seconds
    chance = stream(plan.seed, "schedule")
    if plan.long:
        required, more = schedule.long_schedule(chance, plan.seconds, list(injector.disks)), schedule.more_hangs(chance)
    else:
        required, more = schedule.short_schedule(chance), iter(())
    with ThreadPoolExecutor(1, "faults") as pool:
        injecting = pool.submit(injector.run, required, more, until)
        try:
            kills = _kill(place, plan, stream(plan.seed, "kills"), injector, injecting, until)
        except BaseException:
            injector.aborted.set()
            raise
        injecting.result()
    return kills


def _kill(
    place: Folder, plan: Plan, chance: random.Random, injector: Injector, injecting: Future[None], until: float
) -> list[Killed]:
    kills: list[Killed] = []
    missing = list(VICTIMS)
    chance.shuffle(missing)
    time.sleep(plan.every_s / 2)  # so that orders are in progress
    while True:
        now = time.monotonic()
        if injecting.done() and (injecting.exception() or now > until + (EXTRA_KILL_TIME_S if missing else 0)):
            return kills
        kind = missing[-1] if missing else chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind in injector.busy or not injector.kills_allowed.wait(0.2):
            if missing:
                missing.insert(0, missing.pop())
            time.sleep(0.1)
            continue
        at = time.time()
        victim = VICTIMS[kind](place, chance)
        if victim is not None and kill(victim):
            kills.append(Killed(kind, victim.name, at))
            missing = [each for each in missing if each != kind]
        elif missing:
            missing.insert(0, missing.pop())
        time.sleep(chance.uniform(0.4, 1.6) * plan.every_s)


def times_away(down: Mapping[str, Sequence[Interval]], injected: Sequence[Injected]) -> list[Interval]:
    """Return the disjoint times at which a part that a price needs was unavailable (defined in docs/chaos.md).

    ``down``: of each server, the times at which it was not ready.
    """
    times = [each for part in down.keys() & NEEDED_FOR_A_PRICE for each in down[part]]
    for each in injected:
        hung = each.fault.kind == HANG and each.hit in NEEDED_FOR_A_PRICE
        full = each.fault.kind == FULL_DISK and each.fault.parts == ("kafka",)
        if hung or full:
            times.append((each.began, each.ended))
    return union(times)


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _why_no_disks(stack: Stack, plan: Plan) -> str:
    if stack.disks_refused:
        return f" (no permission to mount: {stack.disks_refused})"
    return " (long form only)" if not plan.long else ""


def _seconds(injected: Sequence[Injected]) -> dict[str, Any]:
    kinds = {kind: sum(each.ended - each.began for each in injected if each.fault.kind == kind) for kind in
             (OUTAGE, HANG, FULL_DISK)}  # fmt: skip
    two = [each.ended - each.began for each in injected if each.fault.kind == OUTAGE and len(each.fault.parts) == 2]
    return {
        "seconds_of_long_faults": {kind: round(seconds, 1) for kind, seconds in kinds.items()},
        "longest_outage_of_two_parts_s": round(max(two, default=0.0), 1),
    }


def recovery(injected: Sequence[Injected]) -> dict[str, Any]:
    """Return how long every partition took to move again: after outages, and after other faults of a server."""
    outages = [each for each in injected if each.fault.kind == OUTAGE]
    others = [each for each in injected if each.fault.kind != OUTAGE]
    return {
        "partitions_move_after_outage_s": _p50_and_max(each.moved_after_s for each in outages),
        "partitions_move_after_other_server_faults_s": _p50_and_max(each.moved_after_s for each in others),
        "parts_ready_after_outage_s": _p50_and_max(each.ready_after_s for each in outages),
        "partitions_stuck_after": [f"{each.fault.name} ({each.hit})" for each in injected if each.stuck],
    }


def _p50_and_max(values: Iterable[float | None]) -> dict[str, float]:
    found = percentiles(value for value in values if value is not None)
    return {name: found[name] for name in ("p50", "max") if name in found}


def _silences(acknowledged: Sequence[float], began: float) -> dict[str, Any]:
    """Return how often, and for how long, no request was acknowledged."""
    lengths = [after - before for before, after in pairwise([began, *sorted(acknowledged)])]
    long = [length for length in lengths if length > SILENCE_THRESHOLD_S]
    return {
        "longest_time_without_acknowledgement_s": round(max(lengths, default=0.0), 2),
        "times_without_acknowledgement": len(long),
        "seconds_without_acknowledgement": round(sum(long), 1),
    }


def timeline(
    kills: Sequence[Killed],
    injected: Sequence[Injected],
    acknowledged: Sequence[float],
    began: float,
    waits: Sequence[tuple[Interval, float]] = (),
) -> list[tuple[float, str]]:
    """Return all events of the run in order, in seconds since its start; of ``waits`` the longest fiftieth."""
    course = [(each.at - began, f"kill {each.victim}") for each in kills]
    for each in injected:
        what = f"{each.fault.name}: {each.hit}, {each.ended - each.began:.1f} s, {each.outcome}"
        course.append((each.began - began, what))
    for before, after in pairwise([began, *sorted(acknowledged)]):
        if after - before > SILENCE_THRESHOLD_S:
            course.append((before - began, f"no acknowledgement for {after - before:.1f} s"))
    for (begin, end), counted in sorted(waits, key=lambda wait: -wait[1])[: len(waits) // 50]:
        course.append((begin - began, f"order submitted, priced {end - begin:.1f} s later, {counted:.1f} s counted"))
    return sorted((round(at, 1), what) for at, what in course)
