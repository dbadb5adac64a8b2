"""The dispatcher without Ray: which job runs when, and how each ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest import mock

import pytest

from pricing_engine.distributed import dispatcher as module
from pricing_engine.distributed.dispatcher import MOST_ATTEMPTS
from pricing_engine.distributed.errors import BadDeadline, QueueFull, UnknownPriority
from pricing_engine.distributed.jobs import Job, JobPriority, JobStatus
from pricing_engine.distributed.resource_estimate import memory_needed
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost
from tests.unit.dispatching import job, running, scenario, settle


@scenario()
async def test_a_job_runs_and_its_analysis_is_kept(desk) -> None:
    task = desk.submit(job("a"))
    await settle()
    desk.workers.started[0].done()
    outcome = await task
    assert (outcome.status, outcome.attempts, outcome.cached) == (JobStatus.DONE, 1, False)
    again = await desk.submit(job("b", model="a"))
    assert (again.status, again.cached, again.analysis) == (JobStatus.DONE, True, outcome.analysis)
    assert len(desk.workers.started) == 1


@scenario()
async def test_submitting_twice_is_one_job_with_one_outcome(desk) -> None:
    first, second = desk.submit(job("a")), desk.submit(job("a"))
    await settle()
    desk.workers.started[0].done()
    assert await first == await second == await desk.submit(job("a"))
    assert len(desk.workers.started) == 1


@scenario()
async def test_ten_thousand_submissions_of_one_model_are_one_calculation(desk) -> None:
    tasks = [desk.submit(job(str(i), model="same")) for i in range(10_000)]
    await settle()
    desk.workers.started[0].done()
    outcomes = await asyncio.gather(*tasks)
    assert {outcome.status for outcome in outcomes} == {JobStatus.DONE}
    assert [outcome.job_id for outcome in outcomes] == [str(i) for i in range(10_000)]
    assert len(desk.workers.started) == 1


@scenario(slots=2)
async def test_in_flight_is_bounded_and_express_has_slots_of_its_own(desk) -> None:
    for i in range(5):
        desk.submit(job(f"b{i}", priority="bulk"))
    await settle()
    assert running(desk) == ["b0", "b1"]
    desk.submit(job("e", priority="express"))
    await settle()
    assert running(desk) == ["b0", "b1", "e"]
    for run in desk.workers.started:
        run.done()
    await settle()
    assert len(desk.workers.started) > 3


@scenario(slots=2)
async def test_while_express_jobs_come_one_cpu_stays_free_of_ordinary_ones(desk) -> None:
    for i in range(5):
        desk.submit(job(f"b{i}", priority="bulk"))
    desk.submit(job("e", priority="express"))
    await settle()
    first, second, express = desk.workers.started
    first.done()
    await settle()
    assert running(desk) == ["b1", "e"]
    second.done()
    await settle()
    assert running(desk) == ["e", "b2"], "one CPU always goes on with ordinary work"
    express.done()
    await settle()
    assert running(desk) == ["b2"], "the next express job may come"
    desk.now += 2
    desk.dispatcher.fill()
    await settle()
    assert running(desk) == ["b2", "b3"]


@scenario()
async def test_an_express_job_takes_an_equal_waiting_one_along(desk) -> None:
    desk.submit(job("first", priority="bulk"))
    tasks = [
        desk.submit(job("slow", model="m", priority="bulk")),
        desk.submit(job("fast", model="m", priority="express")),
    ]
    await settle()
    assert [run.job.sha256 for run in desk.workers.started] == ["first", "m"]
    assert desk.workers.started[1].attempt.priority is JobPriority.EXPRESS
    desk.workers.started[1].done()
    assert [(await task).status for task in tasks] == [JobStatus.DONE, JobStatus.DONE]


@scenario()
async def test_a_lost_worker_is_replaced_with_more_memory(desk) -> None:
    task = desk.submit(job("a"))
    await settle()
    desk.workers.started[0].end.set_exception(WorkerLost("worker_lost", "gone"))
    await settle()
    desk.workers.started[1].done()
    assert (await task).attempts == 2
    memory = [run.attempt.memory for run in desk.workers.started]
    assert memory[1] == 2 * memory[0] == 2 * memory_needed("a.stl", 1000)
    assert desk.counts.reasons == ["worker_lost"]


@scenario()
async def test_a_poisoned_model_fails_alone_and_does_not_loop(desk) -> None:
    bad, good = desk.submit(job("bad")), desk.submit(job("good"))
    for attempt in range(MOST_ATTEMPTS):
        await settle()
        desk.workers.started[attempt].end.set_exception(WorkerLost("out_of_memory", "the model needed more memory"))
    outcome = await bad
    assert (outcome.status, outcome.code, outcome.attempts) == (JobStatus.FAILED, "out_of_memory", MOST_ATTEMPTS)
    await settle()
    desk.workers.started[-1].done()
    assert (await good).status is JobStatus.DONE


@scenario()
async def test_a_bad_model_fails_with_its_code_at_once(desk) -> None:
    task = desk.submit(job("a"))
    await settle()
    desk.workers.started[0].end.set_result(AnalysisResult(None, "model_vanished", "not there"))
    outcome = await task
    assert (outcome.status, outcome.code, outcome.message, outcome.attempts) == (
        JobStatus.FAILED, "model_vanished", "not there", 1
    )  # fmt: skip
    assert desk.store == {}


@scenario()
async def test_a_model_that_vanished_from_one_place_is_still_found_at_another(desk) -> None:
    here, there = job("here", model="m"), Job("there", "c", "/elsewhere/m.stl", "m", 1000)
    tasks = [desk.submit(here), desk.submit(there)]
    await settle()
    desk.workers.started[0].end.set_result(AnalysisResult(None, "model_vanished", "not there"))
    await settle()
    desk.workers.started[1].done()
    assert [(await task).code for task in tasks] == ["model_vanished", ""]


@scenario()
async def test_a_fault_of_ours_is_told_and_other_jobs_go_on(desk) -> None:
    bad, good = desk.submit(job("bad")), desk.submit(job("good"))
    await settle()
    desk.workers.started[0].end.set_exception(ZeroDivisionError("why"))
    assert (await bad).code == "internal_error"
    await settle()
    desk.workers.started[1].done()
    assert (await good).status is JobStatus.DONE


@scenario()
async def test_cancelling_a_running_job_stops_it_and_frees_its_slot(desk) -> None:
    task, other = desk.submit(job("a")), desk.submit(job("b"))
    await settle()
    assert desk.dispatcher.cancel("a")
    assert (await task).status is JobStatus.CANCELLED
    await settle()
    assert desk.workers.started[0].cancelled == [False]
    assert not desk.dispatcher.cancel("a")
    desk.workers.started[1].done()
    assert (await other).status is JobStatus.DONE


@scenario()
async def test_cancelling_one_of_equal_jobs_lets_the_other_go_on(desk) -> None:
    one, two = desk.submit(job("one", model="m")), desk.submit(job("two", model="m"))
    await settle()
    desk.dispatcher.cancel("one")
    assert ((await one).status, desk.workers.started[0].cancelled) == (JobStatus.CANCELLED, [])
    desk.workers.started[0].done()
    assert (await two).status is JobStatus.DONE


@scenario()
async def test_cancelling_a_waiting_job_means_it_never_starts(desk) -> None:
    first, second = desk.submit(job("first")), desk.submit(job("second"))
    await settle()
    desk.dispatcher.cancel("second")
    desk.workers.started[0].done()
    await asyncio.gather(first, second)
    await settle()
    assert [run.job.job_id for run in desk.workers.started] == ["first"]
    assert desk.dispatcher.in_flight() == 0


@scenario()
async def test_the_deadline_ends_a_job_and_its_calculation(desk) -> None:
    outcome = await desk.submit(job("a", deadline_s=0.05))
    assert (outcome.status, outcome.code) == (JobStatus.FAILED, "deadline_exceeded")
    assert desk.workers.started[0].cancelled == [False]


@scenario()
async def test_a_step_of_the_wall_clock_ends_no_job(desk) -> None:
    early = job("a", deadline_s=5.0)
    with mock.patch("time.time", return_value=4e9):
        task = desk.submit(early)
        await settle()
        desk.workers.started[0].done()
        assert (await task).status is JobStatus.DONE


@scenario()
async def test_updates_come_in_order_and_end(desk) -> None:
    task = desk.submit(job("a"))
    await settle()
    some = SimpleNamespace(ended={"integrity"})
    desk.dispatcher.stage_ended(desk.workers.started[0].job.calculation, some)
    news = await desk.dispatcher.watch("a", 0)
    assert [update.sequence for update in news] == [1, 2, 3]
    assert [update.status for update in news] == [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.RUNNING]
    assert news[-1].partial == some
    waiting = asyncio.ensure_future(desk.dispatcher.watch("a", 3))
    await settle()
    desk.workers.started[0].done()
    await task
    assert await waiting == []
    assert await desk.dispatcher.watch("nobody", 0) == []


@scenario()
async def test_one_customer_does_not_stop_another(desk) -> None:
    for i in range(50):
        desk.submit(job(f"big{i}", customer="big"))
    desk.submit(job("small", customer="small"))
    for turn in range(3):
        await settle()
        desk.workers.started[turn].done()
    await settle()
    assert "small" in [run.job.job_id for run in desk.workers.started]
    for run in desk.workers.started:
        if not run.end.done():
            run.done()


@scenario()
async def test_a_full_queue_refuses(desk) -> None:
    module_limit, module.MOST_WAITING = module.MOST_WAITING, 3
    try:
        tasks = [desk.submit(job(str(i))) for i in range(4)]
        await settle()
        with pytest.raises(QueueFull, match="try again later"):
            await desk.submit(job("too many"))
        for task in tasks:
            task.cancel()
    finally:
        module.MOST_WAITING = module_limit


@scenario()
async def test_a_store_that_fails_costs_no_job(desk) -> None:
    def refuse(key: str, analysis: bytes = b"") -> None:
        raise OSError("disk full")

    desk.store.put = desk.store.get = refuse
    task = desk.submit(job("a"))
    await settle()
    desk.workers.started[0].done()
    assert (await task).status is JobStatus.DONE


def test_bad_jobs_are_refused_at_once() -> None:
    with pytest.raises(UnknownPriority, match="use express, standard, bulk"):
        job("a", priority="urgent")
    for deadline in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadDeadline, match="positive number of seconds"):
            job("a", deadline_s=deadline)
    assert job("a", priority="express").priority is JobPriority.EXPRESS
