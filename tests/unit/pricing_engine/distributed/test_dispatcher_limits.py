"""Dispatcher (``distributed/dispatcher.py``) without Ray: long-running jobs, fairness between owners, limits."""

from __future__ import annotations

import asyncio

import pytest

from pricing_engine.distributed import dispatcher as module
from pricing_engine.distributed.dispatcher import MAX_ATTEMPTS
from pricing_engine.distributed.jobs import JobPriority, JobStatus
from pricing_engine.distributed.limits import LONG_S
from pricing_engine.distributed.resource_estimate import cpu_limit, limits_for, memory_needed
from pricing_engine.distributed.slots import LONG_PER_CPU
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost
from tests.unit.pricing_engine.distributed.dispatcher_harness import Harness, job, running, settle

OUT_OF_MEMORY = AnalysisResult(None, "out_of_memory", "the model needed more memory than its worker had")

pytestmark = pytest.mark.timeout(30)


def long(harness: Harness, *names: str) -> None:
    """Report that these jobs have run for LONG_S."""
    for run in harness.workers.started:
        if run.job.job_id in names and not run.end.done():
            harness.dispatcher.mark_long(run.attempt.run)


async def test_a_long_express_job_frees_its_slot_and_continues(harness: Harness) -> None:
    slow, quick = harness.submit(job("slow", priority="express")), harness.submit(job("quick", priority="express"))
    await settle()
    assert running(harness) == ["slow"]
    long(harness, "slow")
    await settle()
    assert running(harness) == ["slow", "quick"]
    assert harness.workers.prepared == [(JobPriority.EXPRESS, 1)], "the next finds a warm worker"
    for run in harness.workers.started:
        run.succeed()
    assert [(await task).status for task in (slow, quick)] == [JobStatus.DONE] * 2
    assert harness.workers.started[0].cancelled == []


async def test_the_next_job_of_an_owner_with_long_jobs_starts_with_low_priority(harness: Harness) -> None:
    harness.submit(job("greedy-1", customer="greedy", priority="express"))
    await settle()
    long = harness.workers.started[0]
    harness.dispatcher.mark_long(long.attempt.run)
    harness.submit(job("greedy-2", customer="greedy", priority="express"))
    await settle()
    harness.workers.started[1].succeed()
    harness.now = 100.0
    long.succeed()
    await settle()
    for now, customer in ((109.0, "greedy"), (109.5, "other"), (111.0, "greedy")):
        harness.now = now
        harness.submit(job(f"{customer}-{now}", customer=customer, priority="express"))
        await settle()
        harness.workers.started[-1].succeed()
        await settle()
    assert [run.attempt.low_priority for run in harness.workers.started] == [False, True, True, False, False]


@pytest.mark.parametrize("harness", [2], indirect=True)
async def test_a_new_express_job_always_starts_and_long_ones_are_bounded(harness: Harness) -> None:
    for i in range(30):
        harness.submit(job(f"e{i}", customer=f"c{i}", priority="express"))
        await settle()
        assert f"e{i}" in running(harness)
        long(harness, f"e{i}")
        await settle()
        assert len(running(harness)) <= 2 * LONG_PER_CPU + 4, "long ones, two ordinary ones and reserved slots"
    for _ in range(200):
        await settle()
        if not running(harness):
            break
        next(run for run in harness.workers.started if not run.end.done()).succeed()
    assert {outcome.status for outcome in harness.counters.outcomes} == {JobStatus.DONE}
    assert len(harness.counters.outcomes) == 30


async def test_one_long_job_too_many_is_restarted_as_an_ordinary_one_only_once(harness: Harness) -> None:
    tasks = []
    for i in range(LONG_PER_CPU):
        tasks.append(harness.submit(job(f"e{i}", customer=f"c{i}", priority="express")))
        await settle()
        long(harness, f"e{i}")
    harness.submit(job("bulk", priority="bulk"))
    harness.submit(job("late", customer="late", priority="express"))
    await settle()
    harness.now += 1
    long(harness, "late")
    await settle()
    first, second = (run for run in harness.workers.started if run.job.job_id == "e0")
    assert first.cancelled[:1] == [False]
    assert (first.attempt.priority, second.attempt.priority) == (JobPriority.EXPRESS, JobPriority.STANDARD)
    assert second.attempt.oversubscribed, "its owner has nothing else in flight"
    harness.dispatcher.mark_long(second.attempt.run)
    await settle()
    assert second.cancelled == []
    second.succeed()
    outcome = await tasks[0]
    assert (outcome.status, outcome.attempts) == (JobStatus.DONE, 1)


@pytest.mark.parametrize("harness", [2], indirect=True)
async def test_the_oldest_long_job_of_the_greediest_owner_is_preempted(harness: Harness) -> None:
    for i in range(2 * LONG_PER_CPU):
        harness.submit(job(f"greedy{i}", customer="greedy", priority="express"))
        await settle()
        long(harness, f"greedy{i}")
    modest = harness.submit(job("modest", customer="modest", priority="express"))
    await settle()
    long(harness, "modest")
    await settle()
    stopped = [run.job.job_id for run in harness.workers.started if run.cancelled]
    assert stopped == ["greedy0"]
    next(run for run in harness.workers.started if run.job.job_id == "modest").succeed()
    assert (await modest).status is JobStatus.DONE


@pytest.mark.parametrize("harness", [2], indirect=True)
async def test_express_of_one_owner_never_takes_the_last_slot(harness: Harness) -> None:
    for i in range(5):
        harness.submit(job(f"greedy{i}", customer="greedy", priority="express"))
    await settle()
    assert running(harness) == ["greedy0", "greedy1"]
    for name in ("modest", "third"):
        harness.submit(job(name, customer=name, priority="express"))
    await settle()
    assert running(harness) == ["greedy0", "greedy1", "modest"], "one slot is reserved, not one per owner"
    assert harness.workers.started[2].attempt.oversubscribed


@pytest.mark.parametrize("harness", [2], indirect=True)
async def test_long_ordinary_work_of_one_owner_does_not_block_another(harness: Harness) -> None:
    for i in range(5):
        harness.submit(job(f"greedy{i}", customer="greedy"))
    harness.submit(job("modest", customer="modest", priority="bulk"))
    await settle()
    assert running(harness) == ["greedy0", "greedy1"], "a slot may become free soon"
    harness.now += LONG_S
    harness.dispatcher.fill()
    await settle()
    assert running(harness) == ["greedy0", "greedy1", "modest"]
    harness.workers.started[2].succeed()
    await settle()
    assert running(harness) == ["greedy0", "greedy1"], "the reserved slot is not for the greedy owner"


async def test_the_dispatcher_refills_by_itself_when_ordinary_work_may_run_long(harness: Harness) -> None:
    harness.submit(job("greedy", customer="greedy"))
    harness.submit(job("modest", customer="modest"))
    await settle()
    harness.now += LONG_S
    while running(harness) != ["greedy", "modest"]:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("harness", [4], indirect=True)
async def test_long_jobs_take_ordinary_slots_but_not_the_last(harness: Harness) -> None:
    for i in range(6):
        harness.submit(job(f"e{i}", customer=f"c{i}", priority="express"))
        await settle()
        long(harness, f"e{i}")
    for i in range(3):
        harness.submit(job(f"b{i}", customer="b", priority="bulk"))
    harness.now += 10
    harness.dispatcher.fill()
    await settle()
    assert [name for name in running(harness) if name.startswith("b")] == ["b0"]


async def test_a_job_whose_worker_kills_itself_at_the_deadline_fails_without_a_retry(harness: Harness) -> None:
    task = harness.submit(job("stuck", priority="express"))
    await settle()
    harness.dispatcher.mark_long(harness.workers.started[0].attempt.run)
    harness.dispatcher.limit_exceeded(harness.workers.started[0].attempt.run, "deadline")
    outcome = await task
    assert (outcome.status, outcome.code, outcome.attempts) == (JobStatus.FAILED, "deadline", 1)
    assert "not measured within 15 s" in outcome.message
    assert harness.workers.started[0].cancelled == [True]
    await settle()
    assert (len(harness.workers.started), harness.dispatcher.in_flight()) == (1, 0)


async def test_a_deadline_reported_only_by_the_lost_worker_counts(harness: Harness) -> None:
    task = harness.submit(job("stuck"))
    await settle()
    run = harness.workers.started[0]
    run.ignores_cancel = True  # Ray reports a crashed worker
    harness.dispatcher.limit_exceeded(run.attempt.run, "deadline")
    run.end.set_exception(WorkerLost("worker_lost", "gone"))
    assert (await task).code == "deadline"
    assert harness.counters.reasons == []


async def test_attempts_share_one_deadline(harness: Harness) -> None:
    harness.submit(job("a"))
    await settle()
    first = harness.workers.started[0]
    harness.dispatcher.mark_long(first.attempt.run)
    harness.now += 6.0
    first.end.set_exception(WorkerLost("worker_lost", "gone"))
    await settle()
    total = cpu_limit("a.stl", 1000)
    assert first.attempt.limits == limits_for(total, memory_needed("a.stl", 1000), 1 << 40)
    assert harness.workers.started[1].attempt.limits.cpu_s == total - 6.0 - LONG_S


async def test_a_job_may_have_its_own_cpu_limit(harness: Harness) -> None:
    harness.submit(job("a", cpu_limit_s=2.0))
    await settle()
    assert harness.workers.started[0].attempt.limits.cpu_s == 2.0


async def test_out_of_memory_is_retried_with_more_a_limited_number_of_times(harness: Harness) -> None:
    task = harness.submit(job("hog"))
    for attempt in range(MAX_ATTEMPTS):
        await settle()
        harness.workers.started[attempt].end.set_result(OUT_OF_MEMORY)
    outcome = await task
    assert (outcome.code, outcome.attempts, len(harness.workers.started)) == (
        "out_of_memory",
        MAX_ATTEMPTS,
        MAX_ATTEMPTS,
    )
    growth = [run.attempt.limits.memory for run in harness.workers.started]
    assert growth == sorted(growth)
    assert growth[-1] > 4 * growth[0]
    assert harness.counters.reasons == ["out_of_memory"] * MAX_ATTEMPTS


async def test_out_of_memory_on_the_largest_node_is_not_retried(harness: Harness) -> None:
    harness.workers.memory = memory_needed("hog.stl", 1000)
    task = harness.submit(job("hog"))
    await settle()
    harness.dispatcher.limit_exceeded(harness.workers.started[0].attempt.run, "out_of_memory")
    outcome = await task
    assert (outcome.code, outcome.attempts) == ("out_of_memory", 1)
    assert f"last with {memory_needed('hog.stl', 1000) >> 20} MiB" in outcome.message


async def test_a_cancelled_job_that_does_not_stop_is_killed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FORCE_AFTER_S", 0.01)
    task = harness.submit(job("stuck"))
    await settle()
    run = harness.workers.started[0]
    run.ignores_cancel = True
    harness.dispatcher.cancel("stuck")
    assert (await task).status is JobStatus.CANCELLED
    while run.cancelled != [False, True]:
        await asyncio.sleep(0.01)
    assert harness.dispatcher.in_flight() == 1, "its process still runs"
    run.end.set_exception(WorkerLost("worker_lost", "gone"))
    await settle()
    assert harness.dispatcher.in_flight() == 0
    assert [(priority, busy()) for priority, busy in harness.workers.restored] == [(JobPriority.STANDARD, 0)]
    assert harness.counters.reasons == [], "no job waits for it: it is not a retry"


async def test_cancelling_ten_thousand_waiting_jobs_starts_no_other(harness: Harness) -> None:
    tasks = [harness.submit(job(str(i), priority="bulk")) for i in range(10_000)]
    await settle()
    assert all(harness.dispatcher.cancel(str(i)) for i in range(10_000))
    assert {(await task).status for task in tasks} == {JobStatus.CANCELLED}
    await settle()
    assert len(harness.workers.started) == 1
    assert harness.dispatcher.waiting(JobPriority.BULK)[0] == 0


async def test_messages_of_finished_attempts_are_ignored(harness: Harness) -> None:
    task = harness.submit(job("a", priority="express"))
    await settle()
    run = harness.workers.started[0]
    run.succeed()
    await task
    harness.dispatcher.mark_long(run.attempt.run)
    harness.dispatcher.limit_exceeded(run.attempt.run, "deadline")
    assert run.cancelled == []
    assert harness.workers.prepared == []
    assert harness.workers.restored == []


async def test_an_equal_express_job_does_not_promote_a_demoted_one(harness: Harness) -> None:
    for i in range(LONG_PER_CPU):
        harness.submit(job(f"e{i}", model=f"m{i}", customer="greedy", priority="express"))
        await settle()
        long(harness, f"e{i}")
    harness.submit(job("bulk", customer="greedy", priority="bulk"))
    harness.submit(job("late", customer="greedy", priority="express"))
    await settle()
    long(harness, "late")
    await settle()
    assert "e0" not in running(harness)
    harness.submit(job("again", model="m0", customer="greedy", priority="express"))
    await settle()
    assert [run.job.sha256 for run in harness.workers.started].count("m0") == 1
