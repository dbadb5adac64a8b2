"""Dispatcher (``distributed/dispatcher.py``) without Ray: order of jobs and their outcomes."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest

from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.distributed import dispatcher as module
from pricing_engine.distributed.dispatcher import MAX_ATTEMPTS
from pricing_engine.distributed.errors import BadDeadline, QueueFull, UnknownPriority
from pricing_engine.distributed.jobs import Job, JobPriority, JobStatus
from pricing_engine.distributed.resource_estimate import memory_needed
from pricing_engine.distributed.task_messages import AnalysisResult, WorkerLost
from tests.unit.pricing_engine.distributed.dispatcher_harness import Harness, job, running, settle

pytestmark = pytest.mark.timeout(30)


async def test_a_job_runs_and_its_analysis_is_stored(harness: Harness) -> None:
    task = harness.submit(job("a"))
    await settle()
    harness.workers.started[0].succeed()
    outcome = await task
    assert (outcome.status, outcome.attempts, outcome.cached) == (JobStatus.DONE, 1, False)
    again = await harness.submit(job("b", model="a"))
    assert (again.status, again.cached, again.analysis) == (JobStatus.DONE, True, outcome.analysis)
    assert len(harness.workers.started) == 1


async def test_submitting_twice_is_one_job_with_one_outcome(harness: Harness) -> None:
    first, second = harness.submit(job("a")), harness.submit(job("a"))
    await settle()
    harness.workers.started[0].succeed()
    assert await first == await second == await harness.submit(job("a"))
    assert len(harness.workers.started) == 1


async def test_ten_thousand_submissions_of_one_model_are_one_calculation(harness: Harness) -> None:
    tasks = [harness.submit(job(str(i), model="same")) for i in range(10_000)]
    await settle()
    harness.workers.started[0].succeed()
    outcomes = await asyncio.gather(*tasks)
    assert {outcome.status for outcome in outcomes} == {JobStatus.DONE}
    assert [outcome.job_id for outcome in outcomes] == [str(i) for i in range(10_000)]
    assert len(harness.workers.started) == 1


@pytest.mark.parametrize("harness", [2], indirect=True)
async def test_in_flight_is_bounded_and_express_has_slots_of_its_own(harness: Harness) -> None:
    for i in range(5):
        harness.submit(job(f"b{i}", priority="bulk"))
    await settle()
    assert running(harness) == ["b0", "b1"]
    harness.submit(job("e", priority="express"))
    await settle()
    assert running(harness) == ["b0", "b1", "e"]
    for run in harness.workers.started:
        run.succeed()
    await settle()
    assert len(harness.workers.started) > 3


@pytest.mark.parametrize("harness", [2], indirect=True)
async def test_while_express_jobs_arrive_one_cpu_stays_free_of_ordinary_ones(harness: Harness) -> None:
    for i in range(5):
        harness.submit(job(f"b{i}", priority="bulk"))
    harness.submit(job("e", priority="express"))
    await settle()
    first, second, express = harness.workers.started
    first.succeed()
    await settle()
    assert running(harness) == ["b1", "e"]
    second.succeed()
    await settle()
    assert running(harness) == ["e", "b2"], "one CPU always continues with ordinary work"
    express.succeed()
    await settle()
    assert running(harness) == ["b2"], "reserved for the next express job"
    harness.now += 2
    harness.dispatcher.fill()
    await settle()
    assert running(harness) == ["b2", "b3"]


async def test_an_express_job_raises_the_priority_of_an_equal_waiting_one(harness: Harness) -> None:
    harness.submit(job("first", priority="bulk"))
    tasks = [
        harness.submit(job("slow", model="m", priority="bulk")),
        harness.submit(job("fast", model="m", priority="express")),
    ]
    await settle()
    assert [run.job.sha256 for run in harness.workers.started] == ["first", "m"]
    assert harness.workers.started[1].attempt.priority is JobPriority.EXPRESS
    harness.workers.started[1].succeed()
    assert [(await task).status for task in tasks] == [JobStatus.DONE, JobStatus.DONE]


async def test_a_lost_worker_is_replaced_with_more_memory(harness: Harness) -> None:
    task = harness.submit(job("a"))
    await settle()
    harness.workers.started[0].end.set_exception(WorkerLost("worker_lost", "gone"))
    await settle()
    harness.workers.started[1].succeed()
    assert (await task).attempts == 2
    memory = [run.attempt.memory for run in harness.workers.started]
    assert memory[1] == 2 * memory[0] == 2 * memory_needed("a.stl", 1000)
    assert harness.counters.reasons == ["worker_lost"]


async def test_a_poisoned_model_fails_alone_and_does_not_loop(harness: Harness) -> None:
    bad, good = harness.submit(job("bad")), harness.submit(job("good"))
    for attempt in range(MAX_ATTEMPTS):
        await settle()
        harness.workers.started[attempt].end.set_exception(WorkerLost("out_of_memory", "the model needed more memory"))
    outcome = await bad
    assert (outcome.status, outcome.code, outcome.attempts) == (JobStatus.FAILED, "out_of_memory", MAX_ATTEMPTS)
    await settle()
    harness.workers.started[-1].succeed()
    assert (await good).status is JobStatus.DONE


async def test_a_bad_model_fails_with_its_code_without_retries(harness: Harness) -> None:
    task = harness.submit(job("a"))
    await settle()
    harness.workers.started[0].end.set_result(AnalysisResult(None, "model_vanished", "not there"))
    outcome = await task
    assert (outcome.status, outcome.code, outcome.message, outcome.attempts) == (
        JobStatus.FAILED, "model_vanished", "not there", 1
    )  # fmt: skip
    assert harness.store == {}


async def test_a_model_that_vanished_from_one_place_is_still_found_at_another(harness: Harness) -> None:
    first, second = job("first", model="m"), Job("second", "c", "/elsewhere/m.stl", "m", 1000)
    tasks = [harness.submit(first), harness.submit(second)]
    await settle()
    harness.workers.started[0].end.set_result(AnalysisResult(None, "model_vanished", "not there"))
    await settle()
    harness.workers.started[1].succeed()
    assert [(await task).code for task in tasks] == ["model_vanished", ""]


async def test_an_internal_error_fails_one_job_and_others_continue(harness: Harness) -> None:
    bad, good = harness.submit(job("bad")), harness.submit(job("good"))
    await settle()
    harness.workers.started[0].end.set_exception(ZeroDivisionError("why"))
    assert (await bad).code == "internal_error"
    await settle()
    harness.workers.started[1].succeed()
    assert (await good).status is JobStatus.DONE


async def test_cancelling_a_running_job_stops_it_and_frees_its_slot(harness: Harness) -> None:
    task, other = harness.submit(job("a")), harness.submit(job("b"))
    await settle()
    assert harness.dispatcher.cancel("a")
    assert (await task).status is JobStatus.CANCELLED
    await settle()
    assert harness.workers.started[0].cancelled == [False]
    assert not harness.dispatcher.cancel("a")
    harness.workers.started[1].succeed()
    assert (await other).status is JobStatus.DONE


async def test_cancelling_one_of_equal_jobs_does_not_stop_the_other(harness: Harness) -> None:
    one, two = harness.submit(job("one", model="m")), harness.submit(job("two", model="m"))
    await settle()
    harness.dispatcher.cancel("one")
    assert ((await one).status, harness.workers.started[0].cancelled) == (JobStatus.CANCELLED, [])
    harness.workers.started[0].succeed()
    assert (await two).status is JobStatus.DONE


async def test_cancelling_a_waiting_job_means_it_never_starts(harness: Harness) -> None:
    first, second = harness.submit(job("first")), harness.submit(job("second"))
    await settle()
    harness.dispatcher.cancel("second")
    harness.workers.started[0].succeed()
    await asyncio.gather(first, second)
    await settle()
    assert [run.job.job_id for run in harness.workers.started] == ["first"]
    assert harness.dispatcher.in_flight() == 0


async def test_the_deadline_ends_a_job_and_its_calculation(harness: Harness) -> None:
    outcome = await harness.submit(job("a", deadline_s=0.05))
    assert (outcome.status, outcome.code) == (JobStatus.FAILED, "deadline_exceeded")
    assert harness.workers.started[0].cancelled == [False]


async def test_a_step_of_the_wall_clock_fails_no_job(harness: Harness) -> None:
    early = job("a", deadline_s=5.0)
    with mock.patch("time.time", return_value=4e9):
        task = harness.submit(early)
        await settle()
        harness.workers.started[0].succeed()
        assert (await task).status is JobStatus.DONE


async def test_updates_are_in_order_and_end_with_the_job(harness: Harness) -> None:
    task = harness.submit(job("a"))
    await settle()
    some = PartialAnalysis(1000, 537.29, 900.0, 0.0, None, (0.0, 0.0, 0.0), (20.0, 22.0, 6.0), {})
    harness.dispatcher.stage_finished(harness.workers.started[0].job.calculation, some)
    updates = await harness.dispatcher.watch("a", 0)
    assert [update.sequence for update in updates] == [1, 2, 3]
    assert [update.status for update in updates] == [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.RUNNING]
    assert updates[-1].partial == some
    waiting = asyncio.ensure_future(harness.dispatcher.watch("a", 3))
    await settle()
    harness.workers.started[0].succeed()
    await task
    assert await waiting == []
    assert await harness.dispatcher.watch("nobody", 0) == []


async def test_one_customer_does_not_stop_another(harness: Harness) -> None:
    for i in range(50):
        harness.submit(job(f"big{i}", customer="big"))
    harness.submit(job("small", customer="small"))
    for turn in range(3):
        await settle()
        harness.workers.started[turn].succeed()
    await settle()
    assert "small" in [run.job.job_id for run in harness.workers.started]
    for run in harness.workers.started:
        if not run.end.done():
            run.succeed()


async def test_a_full_queue_refuses(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    tasks = [harness.submit(job(str(i))) for i in range(4)]
    await settle()
    with pytest.raises(QueueFull, match="try again later"):
        await harness.submit(job("too many"))
    for task in tasks:
        task.cancel()


async def test_a_failing_store_fails_no_job(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: str, analysis: bytes = b"") -> None:
        raise OSError("disk full")

    monkeypatch.setattr(harness.store, "put", refuse)
    monkeypatch.setattr(harness.store, "get", refuse)
    task = harness.submit(job("a"))
    await settle()
    harness.workers.started[0].succeed()
    assert (await task).status is JobStatus.DONE


def test_bad_jobs_are_refused_at_once() -> None:
    with pytest.raises(UnknownPriority, match="use express, standard, bulk"):
        job("a", priority="urgent")
    for deadline in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadDeadline, match="positive number of seconds"):
            job("a", deadline_s=deadline)
    assert job("a", priority="express").priority is JobPriority.EXPRESS
