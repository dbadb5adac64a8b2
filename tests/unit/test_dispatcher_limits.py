"""The dispatcher without Ray: what runs long gives way, no owner takes all slots, and limits end a job."""

from __future__ import annotations

import asyncio

from pricing_engine.distributed import dispatcher as module
from pricing_engine.distributed.dispatcher import MOST_ATTEMPTS
from pricing_engine.distributed.jobs import JobPriority, JobStatus
from pricing_engine.distributed.limits import LONG_S
from pricing_engine.distributed.resource_estimate import cpu_limit, limits_for, memory_needed
from pricing_engine.distributed.slots import LONG_PER_CPU
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost
from tests.unit.dispatching import Desk, job, running, scenario, settle

OUT_OF_MEMORY = AnalysisResult(None, "out_of_memory", "the model needed more memory than its worker had")


def long(desk: Desk, *names: str) -> None:
    """The workers of these jobs say that they have run for LONG_S."""
    for run in desk.workers.started:
        if run.job.job_id in names and not run.end.done():
            desk.dispatcher.ran_long(run.attempt.run)


@scenario()
async def test_a_long_express_job_leaves_its_slot_to_the_next_and_goes_on(desk) -> None:
    slow, quick = desk.submit(job("slow", priority="express")), desk.submit(job("quick", priority="express"))
    await settle()
    assert running(desk) == ["slow"]
    long(desk, "slow")
    await settle()
    assert running(desk) == ["slow", "quick"]
    assert desk.workers.prepared == [(JobPriority.EXPRESS, 1)], "the next finds a warm worker"
    for run in desk.workers.started:
        run.done()
    assert [(await task).status for task in (slow, quick)] == [JobStatus.DONE] * 2
    assert desk.workers.started[0].cancelled == []


@scenario()
async def test_the_next_job_of_an_owner_whose_jobs_run_long_gives_way_from_the_start(desk) -> None:
    desk.submit(job("greedy-1", customer="greedy", priority="express"))
    await settle()
    long = desk.workers.started[0]
    desk.dispatcher.ran_long(long.attempt.run)
    desk.submit(job("greedy-2", customer="greedy", priority="express"))
    await settle()
    desk.workers.started[1].done()
    desk.now = 100.0
    long.done()
    await settle()
    for moment, customer in ((109.0, "greedy"), (109.5, "other"), (111.0, "greedy")):
        desk.now = moment
        desk.submit(job(f"{customer}-{moment}", customer=customer, priority="express"))
        await settle()
        desk.workers.started[-1].done()
        await settle()
    assert [run.attempt.gives_way for run in desk.workers.started] == [False, True, True, False, False]


@scenario(slots=2)
async def test_a_new_express_job_always_starts_and_what_runs_long_stays_bounded(desk) -> None:
    for i in range(30):
        desk.submit(job(f"e{i}", customer=f"c{i}", priority="express"))
        await settle()
        assert f"e{i}" in running(desk)
        long(desk, f"e{i}")
        await settle()
        assert len(running(desk)) <= 2 * LONG_PER_CPU + 4, "long ones, two ordinary ones and guests"
    for _ in range(200):
        await settle()
        if not running(desk):
            break
        next(run for run in desk.workers.started if not run.end.done()).done()
    assert {outcome.status for outcome in desk.counts.outcomes} == {JobStatus.DONE}
    assert len(desk.counts.outcomes) == 30


@scenario()
async def test_one_long_job_too_many_starts_again_as_an_ordinary_one_and_only_once(desk) -> None:
    tasks = []
    for i in range(LONG_PER_CPU):
        tasks.append(desk.submit(job(f"e{i}", customer=f"c{i}", priority="express")))
        await settle()
        long(desk, f"e{i}")
    desk.submit(job("bulk", priority="bulk"))
    desk.submit(job("late", customer="late", priority="express"))
    await settle()
    desk.now += 1
    long(desk, "late")
    await settle()
    first, second = (run for run in desk.workers.started if run.job.job_id == "e0")
    assert first.cancelled[:1] == [False]
    assert (first.attempt.priority, second.attempt.priority) == (JobPriority.EXPRESS, JobPriority.STANDARD)
    assert second.attempt.beside, "its owner has nothing else in flight"
    desk.dispatcher.ran_long(second.attempt.run)
    await settle()
    assert second.cancelled == []
    second.done()
    outcome = await tasks[0]
    assert (outcome.status, outcome.attempts) == (JobStatus.DONE, 1)


@scenario(slots=2)
async def test_of_those_that_run_long_the_oldest_of_the_greediest_owner_ends(desk) -> None:
    for i in range(2 * LONG_PER_CPU):
        desk.submit(job(f"greedy{i}", customer="greedy", priority="express"))
        await settle()
        long(desk, f"greedy{i}")
    modest = desk.submit(job("modest", customer="modest", priority="express"))
    await settle()
    long(desk, "modest")
    await settle()
    stopped = [run.job.job_id for run in desk.workers.started if run.cancelled]
    assert stopped == ["greedy0"]
    next(run for run in desk.workers.started if run.job.job_id == "modest").done()
    assert (await modest).status is JobStatus.DONE


@scenario(slots=2)
async def test_express_of_one_owner_never_takes_the_last_slot(desk) -> None:
    for i in range(5):
        desk.submit(job(f"greedy{i}", customer="greedy", priority="express"))
    await settle()
    assert running(desk) == ["greedy0", "greedy1"]
    for name in ("modest", "third"):
        desk.submit(job(name, customer=name, priority="express"))
    await settle()
    assert running(desk) == ["greedy0", "greedy1", "modest"], "one place is kept, not one for each owner"
    assert desk.workers.started[2].attempt.beside


@scenario(slots=2)
async def test_ordinary_work_of_one_owner_that_runs_long_does_not_keep_another_out(desk) -> None:
    for i in range(5):
        desk.submit(job(f"greedy{i}", customer="greedy"))
    desk.submit(job("modest", customer="modest", priority="bulk"))
    await settle()
    assert running(desk) == ["greedy0", "greedy1"], "a slot may be free soon"
    desk.now += LONG_S
    desk.dispatcher.fill()
    await settle()
    assert running(desk) == ["greedy0", "greedy1", "modest"]
    desk.workers.started[2].done()
    await settle()
    assert running(desk) == ["greedy0", "greedy1"], "the place is not the greedy owner's"


@scenario()
async def test_the_dispatcher_looks_again_by_itself_when_ordinary_work_may_run_long(desk) -> None:
    desk.submit(job("greedy", customer="greedy"))
    desk.submit(job("modest", customer="modest"))
    await settle()
    desk.now += LONG_S
    while running(desk) != ["greedy", "modest"]:
        await asyncio.sleep(0.01)


@scenario(slots=4)
async def test_what_runs_long_takes_ordinary_slots_but_not_the_last(desk) -> None:
    for i in range(6):
        desk.submit(job(f"e{i}", customer=f"c{i}", priority="express"))
        await settle()
        long(desk, f"e{i}")
    for i in range(3):
        desk.submit(job(f"b{i}", customer="b", priority="bulk"))
    desk.now += 10
    desk.dispatcher.fill()
    await settle()
    assert [name for name in running(desk) if name.startswith("b")] == ["b0"]


@scenario()
async def test_a_job_whose_worker_ends_itself_at_the_deadline_fails_and_is_not_retried(desk) -> None:
    task = desk.submit(job("stuck", priority="express"))
    await settle()
    desk.dispatcher.ran_long(desk.workers.started[0].attempt.run)
    desk.dispatcher.limit_exceeded(desk.workers.started[0].attempt.run, "deadline")
    outcome = await task
    assert (outcome.status, outcome.code, outcome.attempts) == (JobStatus.FAILED, "deadline", 1)
    assert "not measured within 15 s" in outcome.message
    assert desk.workers.started[0].cancelled == [True]
    await settle()
    assert (len(desk.workers.started), desk.dispatcher.in_flight()) == (1, 0)


@scenario()
async def test_a_deadline_that_only_the_lost_worker_shows_is_one_too(desk) -> None:
    task = desk.submit(job("stuck"))
    await settle()
    run = desk.workers.started[0]
    run.stubborn = True  # Ray says that the worker crashed
    desk.dispatcher.limit_exceeded(run.attempt.run, "deadline")
    run.end.set_exception(WorkerLost("worker_lost", "gone"))
    assert (await task).code == "deadline"
    assert desk.counts.reasons == []


@scenario()
async def test_attempts_share_one_deadline(desk) -> None:
    desk.submit(job("a"))
    await settle()
    first = desk.workers.started[0]
    desk.dispatcher.ran_long(first.attempt.run)
    desk.now += 6.0
    first.end.set_exception(WorkerLost("worker_lost", "gone"))
    await settle()
    whole = cpu_limit("a.stl", 1000)
    assert first.attempt.limits == limits_for(whole, memory_needed("a.stl", 1000), 1 << 40)
    assert desk.workers.started[1].attempt.limits.cpu_s == whole - 6.0 - LONG_S


@scenario()
async def test_a_job_may_bring_a_deadline_of_its_own(desk) -> None:
    desk.submit(job("a", cpu_limit_s=2.0))
    await settle()
    assert desk.workers.started[0].attempt.limits.cpu_s == 2.0


@scenario()
async def test_out_of_memory_is_tried_again_with_more_and_not_for_ever(desk) -> None:
    task = desk.submit(job("hog"))
    for attempt in range(MOST_ATTEMPTS):
        await settle()
        desk.workers.started[attempt].end.set_result(OUT_OF_MEMORY)
    outcome = await task
    assert (outcome.code, outcome.attempts, len(desk.workers.started)) == (
        "out_of_memory",
        MOST_ATTEMPTS,
        MOST_ATTEMPTS,
    )
    growth = [run.attempt.limits.memory for run in desk.workers.started]
    assert growth == sorted(growth)
    assert growth[-1] > 4 * growth[0]
    assert desk.counts.reasons == ["out_of_memory"] * MOST_ATTEMPTS


@scenario()
async def test_out_of_memory_with_all_of_the_largest_node_is_not_tried_again(desk) -> None:
    desk.workers.most_memory = lambda: memory_needed("hog.stl", 1000)
    task = desk.submit(job("hog"))
    await settle()
    desk.dispatcher.limit_exceeded(desk.workers.started[0].attempt.run, "out_of_memory")
    outcome = await task
    assert (outcome.code, outcome.attempts) == ("out_of_memory", 1)
    assert f"last with {memory_needed('hog.stl', 1000) >> 20} MiB" in outcome.message


@scenario()
async def test_a_cancelled_job_that_does_not_stop_is_ended_by_force(desk) -> None:
    module._FORCE_AFTER_S, before = 0.01, module._FORCE_AFTER_S
    try:
        task = desk.submit(job("stuck"))
        await settle()
        run = desk.workers.started[0]
        run.stubborn = True
        desk.dispatcher.cancel("stuck")
        assert (await task).status is JobStatus.CANCELLED
        while run.cancelled != [False, True]:
            await asyncio.sleep(0.01)
        assert desk.dispatcher.in_flight() == 1, "its process still runs"
        run.end.set_exception(WorkerLost("worker_lost", "gone"))
        await settle()
        assert desk.dispatcher.in_flight() == 0
        assert [(priority, busy()) for priority, busy in desk.workers.restored] == [(JobPriority.STANDARD, 0)]
        assert desk.counts.reasons == [], "nobody waits for it: it is no retry"
    finally:
        module._FORCE_AFTER_S = before


@scenario()
async def test_cancelling_beside_ten_thousand_that_wait_ends_one_and_starts_the_next(desk) -> None:
    tasks = [desk.submit(job(str(i), priority="bulk")) for i in range(10_000)]
    await settle()
    ended = []
    for i in range(10_000):
        ended.append(desk.dispatcher.cancel(str(i)))
    assert all(ended)
    assert {(await task).status for task in tasks} == {JobStatus.CANCELLED}
    await settle()
    assert len(desk.workers.started) == 1
    assert desk.dispatcher.waiting(JobPriority.BULK)[0] == 0


@scenario()
async def test_messages_of_attempts_that_are_over_are_ignored(desk) -> None:
    task = desk.submit(job("a", priority="express"))
    await settle()
    run = desk.workers.started[0]
    run.done()
    await task
    desk.dispatcher.ran_long(run.attempt.run)
    desk.dispatcher.limit_exceeded(run.attempt.run, "deadline")
    assert run.cancelled == []
    assert desk.workers.prepared == desk.workers.restored == []


@scenario()
async def test_an_equal_express_job_does_not_bring_a_set_back_one_forward_again(desk) -> None:
    for i in range(LONG_PER_CPU):
        desk.submit(job(f"e{i}", model=f"m{i}", customer="greedy", priority="express"))
        await settle()
        long(desk, f"e{i}")
    desk.submit(job("bulk", customer="greedy", priority="bulk"))
    desk.submit(job("late", customer="greedy", priority="express"))
    await settle()
    long(desk, "late")
    await settle()
    assert "e0" not in running(desk)
    desk.submit(job("again", model="m0", customer="greedy", priority="express"))
    await settle()
    assert [run.job.sha256 for run in desk.workers.started].count("m0") == 1
