"""The cluster against the engine alone: overhead, throughput, scaling, memory, express latency under overload.

``python -m benchmarks.distributed [ITEM ...]`` starts and stops private clusters on this machine. All models of a
measurement differ, so that no cache hits. Each row is a ratio or a difference within one run. ``--svg docs`` draws the
cluster's scaling up and down.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, ParamSpec

import ray
from rich.console import Console
from rich.table import Table

from benchmarks import meshes
from benchmarks.charts import COLOURS, Line, Panel, write_svg
from benchmarks.engine import ROOT
from benchmarks.ring_models import write_ring
from cluster.autoscaling import FakeMultiNode
from cluster.local.ephemeral import local_cluster, use_cluster
from cluster.local.scaling import ScalingResult, scale_once
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.warmup import warm
from pricing_engine.distributed.actor import options_for, start_dispatcher, task_of
from pricing_engine.distributed.client import JobClient, job_for, measure_on_cluster
from pricing_engine.distributed.connect import connect
from pricing_engine.distributed.jobs import Job, JobOutcome, JobPriority
from pricing_engine.distributed.resource_estimate import memory_needed
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask
from pricing_engine.distributed.worker import engine_version

CORES = len(os.sched_getaffinity(0))
SETTINGS = Settings()
FLOOD_FACTOR, FLOOD_S = 10, 120.0  # times the sustainable rate, maximum duration
SAMPLE_S = 0.02
Row = tuple[str, str, str, str]
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Bench:
    """Parameters of every item: a folder for its files, a model of over a million facets, a folder for pictures."""

    folder: Path
    large: Path
    pictures: Path | None


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    parser.add_argument("--large", type=Path, help="a model of over a million facets instead of the benchmark's own")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="draw the picture of scaling there")
    options = parser.parse_args()
    large = options.large or meshes.make(ROOT / ".facet" / "bench")["mid"]
    table = Table(title=f"On {CORES} cores", title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    console = Console(width=150)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for item in options.items or ITEMS:
                with console.status(f"measuring {item}"):
                    rows = ITEMS[item](Bench(Path(folder), large, options.svg))
                for row in rows:
                    table.add_row(*row)
    finally:
        console.print(table)


@contextmanager
def dispatching(folder: Path, cpus: int = CORES, **rest: Any) -> Iterator[JobClient]:
    """Run a private cluster with a dispatcher and warm workers."""
    with local_cluster(folder / uuid.uuid4().hex, cpus) as cluster:
        use_cluster(cluster)
        connect(cluster.address)
        try:
            start_dispatcher(str(folder / f"analyses-{uuid.uuid4().hex}"), **rest)
            client = JobClient()
            client.run_many(jobs(rings(folder, 8 * cpus, 24), "express"))
            client.run_many(jobs(rings(folder, 8 * cpus, 24), "standard"))
            yield client
        finally:
            ray.shutdown()


def rings(folder: Path, count: int, segments: int) -> list[Path]:
    """Write ``count`` new models."""
    return [write_ring(folder / f"ring-{n}.stl", n, segments) for n in itertools.islice(_next_model, count)]


_next_model = itertools.count()


def jobs(models: Sequence[Path], priority: str = "standard") -> list[Job]:
    """Create a job for each model."""
    return [job_for(model, uuid.uuid4().hex, "bench", priority=priority) for model in models]


def overhead(bench: Bench) -> list[Row]:
    """Measure the overhead of the dispatcher over a direct call for a small quote, both warm."""
    with dispatching(bench.folder) as client:
        direct, through = [], []
        models = rings(bench.folder, 80, 48)
        measure(models[0], None, SETTINGS, 1)
        for direct_model, cluster_job in zip(models[::2], jobs(models[1::2], "express"), strict=True):
            direct.append(timed(measure, direct_model, None, SETTINGS, 1))
            through.append(timed(outcome_of, client, cluster_job))
        hit = jobs(models[1:2] * 40)
        hits = [timed(outcome_of, client, job) for job in hit]
        task = engine_version.options(**options_for(JobPriority.EXPRESS))
        ray.get(task.remote())
        empty = []
        for model in models[:20]:
            measure(model, None, SETTINGS, 1)  # the same idle time for Ray's processes as above
            empty.append(timed(lambda: (ray.get(client.hello()), ray.get(task.remote()))))
    alone, more = statistics.median(direct), statistics.median(through) - statistics.median(direct)
    return [
        (
            f"overhead of the dispatcher for a small quote of {1e3 * alone:.0f} ms",
            f"{1e3 * more:+.1f} ms",
            "15 ms",
            "5 ms",
        ),
        ("no-op actor call and no-op Ray task", f"{1e3 * statistics.median(empty):.1f} ms", "", ""),
        ("cache hit: the same model again", f"{1e3 * statistics.median(hits):.1f} ms", "", ""),
    ]


def throughput(bench: Bench) -> list[Row]:
    """Measure jobs per second of the dispatcher over tasks per second of Ray, for no-op tasks."""
    count = 3000

    def nothing(task: AnalysisTask) -> AnalysisResult:
        return AnalysisResult(task.calculation.encode() + b"}")

    model = rings(bench.folder, 1, 12)[0]
    template = job_for(model, "", "bench")
    some = [Job(f"j{i}", "bench", template.model, f"{i:064x}", template.bytes) for i in range(count)]
    with dispatching(bench.folder, work=nothing) as client:
        options = options_for(JobPriority.STANDARD)
        baseline = task_of(nothing, JobPriority.STANDARD)
        tasks = [AnalysisTask(job.model, None, SETTINGS, options, job.sha256, job.calculation) for job in some]
        ray.get([baseline.remote(task) for task in tasks])
        alone = timed(lambda: ray.get([baseline.remote(task) for task in tasks]))
        through = timed(lambda: client.run_many(some))
    rate = f"{count / through:.0f} of {count / alone:.0f} jobs/s"
    return [(f"dispatcher jobs over plain Ray tasks, {rate}", f"{alone / through:.2f}", "0.5", "0.8")]


def scale_out(bench: Bench) -> list[Row]:
    """Measure a large model on two one-CPU workers, on one, and by a direct call on one thread; and worker memory."""
    seconds, peaks = {}, []
    for nodes in ((1,), (2,), (1, 1)):
        with workers(bench.folder / "spreading", nodes):
            with track_memory() as peak:  # not timed: reading the memory map suspends the process
                measure_on_cluster(bench.large, None, SETTINGS)
            seconds[nodes] = best(lambda: measure_on_cluster(bench.large, None, SETTINGS))
        peaks.append(peak())
    one = seconds[(1,)]
    direct = best(lambda: measure(bench.large, None, SETTINGS, 1))
    needed = memory_needed(bench.large.name, bench.large.stat().st_size)
    return [
        (f"large model on 2 one-CPU workers over 1, {seconds[(2,)]:.1f} s", f"{one / seconds[(2,)]:.2f}", "1.6", "1.9"),
        (f"the same, one node each, {seconds[(1, 1)]:.1f} s", f"{one / seconds[(1, 1)]:.2f}", "", ""),
        (f"the same on 1 worker over a direct call, {direct:.1f} s", f"{one / direct:.2f}", "1.15", "1.05"),
        (f"worker's private memory over the estimate, {needed >> 20} MiB", f"{max(peaks) / needed:.2f}", "1", ""),
    ]


@contextmanager
def workers(folder: Path, nodes: Sequence[int]) -> Iterator[None]:
    """Run a private cluster of a head without tasks and ``nodes`` of so many CPUs, and connect this process to it."""
    with local_cluster(folder, 0) as cluster:
        for cpus in nodes:
            cluster.add_node(cpus)
        use_cluster(cluster)
        connect(cluster.address)
        try:
            yield
        finally:
            ray.shutdown()


def batch(bench: Bench) -> list[Row]:
    """Measure 1,000 small models at once over the rate of one core times the cores, timed before and after."""
    models = rings(bench.folder, 1080, 48)

    def alone(some: Sequence[Path]) -> float:
        _measured(models[0])
        return timed(_measure_all, some) / len(some)

    before = alone(models[:40])
    with dispatching(bench.folder) as client:
        took = timed(lambda: client.run_many(jobs(models[40:1040])))
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn"), warm) as pool:
        list(pool.map(_measured, models[:20]))
        plain = timed(lambda: list(pool.map(_measured, models[40:240]))) / 200
    one = (before + alone(models[1040:])) / 2
    ray_share, pool_share = 1000 * one / CORES / took, one / CORES / plain
    return [
        (f"batch of 1,000 small models, {1000 / took:.1f}/s", f"{ray_share:.2f}", "0.85", "0.95"),
        (f"the same by a pool of {CORES} processes, without Ray", f"{pool_share:.2f}", "", ""),
    ]


def _measured(model: Path) -> None:
    measure(model, None, SETTINGS, 1)


def _measure_all(models: Sequence[Path]) -> None:
    for model in models:
        _measured(model)


def express(bench: Bench) -> list[Row]:
    """Measure express jobs while bulk arrives at ten times the sustainable rate, over the same on an idle cluster."""
    count = 300
    with dispatching(bench.folder) as client:
        models = rings(bench.folder, 2 * count, 48)
        small = rings(bench.folder, 40, 24)
        measure(small[0], None, SETTINGS, 1)
        each = timed(lambda: [measure(model, None, SETTINGS, 1) for model in small]) / len(small)
        idle = [timed(outcome_of, client, job) for job in jobs(models[:count], "express")]
        interval_s = each / CORES / FLOOD_FACTOR
        bulk_jobs = jobs(rings(bench.folder, int(FLOOD_S / interval_s), 24), "bulk")
        os.sync()  # so that the kernel does not write these files while express jobs are timed
        # A separate process, so that the flood does not share the GIL of the timed client.
        spawn = multiprocessing.get_context("spawn")
        started = spawn.Event()
        flood = spawn.Process(
            target=flood_cluster, args=(ray.get_runtime_context().gcs_address, bulk_jobs, interval_s, started)
        )
        flood.start()
        started.wait(60)
        time.sleep(2)
        busy = [timed(outcome_of, client, job) for job in jobs(models[count:], "express")]
        assert flood.is_alive()
        waiting = ray.get(client.hello())["waiting"]["bulk"]
        flood.kill()  # Ray's own shutdown would wait for thousands of running jobs
        flood.join()
    p99 = [statistics.quantiles(times, n=100)[98] for times in (idle, busy)]
    p50 = [statistics.median(times) for times in (idle, busy)]
    figures = f"{1e3 * p99[1]:.0f} over {1e3 * p99[0]:.0f} ms, {waiting} bulk jobs queued"
    return [
        (f"express p99 under bulk overload, {figures}", f"{p99[1] / p99[0]:.2f}", "2", "1.3"),
        (f"the same, p50, {1e3 * p50[1]:.0f} over {1e3 * p50[0]:.0f} ms", f"{p50[1] / p50[0]:.2f}", "", ""),
    ]


def flood_cluster(address: str, bulk_jobs: Sequence[Job], interval_s: float, started: Event) -> None:
    """Submit bulk jobs at a fixed rate, without waiting for results, until none is left or this process is killed."""
    connect(address)
    client = JobClient()
    started.set()
    start = time.monotonic()
    for sent, job in enumerate(bulk_jobs):
        time.sleep(max(0.0, start + sent * interval_s - time.monotonic()))
        client.submit(job)


def first_quote(bench: Bench) -> list[Row]:
    """Measure the first three jobs on a new worker."""
    models = rings(bench.folder, 3, 48)
    with workers(bench.folder / "cold", [1]):
        first, second, third = (timed(measure_on_cluster, model, None, SETTINGS) for model in models)
    figures = f"then {1e3 * second:.0f} and {1e3 * third:.0f} ms"
    return [(f"first quote on a cold worker, {figures}", f"{first:.1f} s", "", "")]


def scaling(bench: Bench) -> list[Row]:
    """Measure a real autoscaler on this machine, from no worker to all and back."""
    machine = FakeMultiNode()
    found = scale_once(bench.folder / "scaling", machine)
    if bench.pictures:
        draw(bench.pictures / "scaling.svg", found)
    what = f"autoscaling 0 to {machine.max_workers} nodes, and back in {found.down_s:.0f} s"
    return [(what, f"{found.up_s:.0f} s", "30 s", "")]


def draw(path: Path, found: ScalingResult) -> None:
    """Draw workers over time: all requested at once, released once all have joined."""
    seconds = [second for second, _ in found.samples]
    released = next(second for second, count in found.samples if count == max(count for _, count in found.samples))
    demand = [
        (0.0, found.before),
        (0.0, len(found.nodes)),
        (released, len(found.nodes)),
        (released, 0),
        (seconds[-1], 0),
    ]
    steps = [at for before, now in itertools.pairwise(found.samples) for at in ((now[0], before[1]), now)]
    lines = [
        Line("CPUs requested", demand, COLOURS[3], dashed=True),
        Line("workers", [found.samples[0], *steps], COLOURS[1]),
    ]
    ticks = range(0, int(seconds[-1]) + 1, 5)
    write_svg(path, [Panel("Scaling up and down", "seconds", "one-CPU nodes", lines, ticks)])


@contextmanager
def track_memory() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the peak private memory in bytes of any Ray worker on this machine."""
    peak, stop = 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not stop.wait(SAMPLE_S):
            peak = max([peak, *(private_bytes(pid) for pid in os.listdir("/proc") if pid.isdigit())])

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: peak
    finally:
        stop.set()
        thread.join()


def private_bytes(pid: str) -> int:
    """Return the private memory of a Ray worker that has a task; 0 for any other process."""
    try:
        if not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::"):
            return 0
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has exited
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def outcome_of(client: JobClient, job: Job, timeout_s: float | None = None) -> JobOutcome:
    """Submit ``job`` and wait for its outcome."""
    return client.submit(job).outcome(timeout_s)


def timed(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Return the seconds that ``work`` takes with these arguments."""
    start = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - start


def best(work: Callable[[], Any]) -> float:
    """Return the seconds of the faster of two calls after a warm-up call."""
    work()
    return min(timed(work), timed(work))


ITEMS: dict[str, Callable[[Bench], list[Row]]] = {
    "overhead": overhead,
    "throughput": throughput,
    "spreading": scale_out,
    "batch": batch,
    "express": express,
    "first_quote": first_quote,
    "scaling": scaling,
}

if __name__ == "__main__":
    main()
