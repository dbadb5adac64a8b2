"""Noisy neighbours on the cluster: the latency of others beside customers with heavy files, and of cancellation.

``python -m benchmarks.noisy_neighbour [ITEM ...]`` starts and stops private clusters on this machine. A heavy file runs
until its deadline, in one call without the GIL that can't be interrupted; with ``--kind KIND`` it is a real model, a
kind of ``tests/support/worst_cases.py`` with ``--facets N``.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ray
from rich.console import Console
from rich.table import Table

from benchmarks.distributed import CORES, Row, dispatching, outcome_of, rings, timed
from pricing_engine.distributed.actor import warm_workers
from pricing_engine.distributed.client import JobClient, SubmittedJob, job_for
from pricing_engine.distributed.jobs import Job
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask
from pricing_engine.distributed.worker import analyse
from tests.support import worst_cases

QUOTES, QUEUED, CANCELS = 200, 10_000, 10
_POLL_S = 0.002
_TIMEOUT_S = 60.0


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    parser.add_argument("--kind", choices=worst_cases.KINDS, help="use a worst case as the heavy file")
    parser.add_argument("--facets", type=int, default=10_000, metavar="N", help="of the worst case")
    options = parser.parse_args()
    heavy_file = worst_cases.ply(*worst_cases.KINDS[options.kind](options.facets)) if options.kind else None
    table = Table(title=f"On {CORES} cores", title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with tempfile.TemporaryDirectory() as folder:
        for item in options.items or ITEMS:
            for row in ITEMS[item](Path(folder), heavy_file):
                table.add_row(*row)
    Console(width=150).print(table)


def run_task(task: AnalysisTask) -> AnalysisResult:
    """Run a worker's task; a file named stuck runs without end."""
    if Path(task.model).name.startswith("stuck"):
        hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
    return analyse(task)


def write_heavy_file(folder: Path, heavy_file: bytes | None) -> Path:
    """Write a new heavy file: a copy of ``heavy_file``, a PLY file, if not None."""
    name = uuid.uuid4().hex
    content = heavy_file or worst_cases.ply(*worst_cases.equal(1))
    path = folder / f"{'slow' if heavy_file else 'stuck'}-{name}.ply"
    path.write_bytes(content.replace(b"ply\n", f"ply\ncomment {name}\n".encode(), 1))
    return path


def express(folder: Path, heavy_file: bytes | None) -> list[Row]:
    """Measure express quotes of one customer, idle and while four heavy express files of four others run."""
    with dispatching(folder, work=run_task) as client:
        ray.get(warm_workers(CORES))  # as where the services run
        time.sleep(10.0)  # until the last of them has started
        idle = _latencies(client, folder)
        with _overload(client, folder, heavy_file, [f"neighbour-{number}" for number in range(4)]):
            time.sleep(3.0)  # past the start of more workers
            busy = _latencies(client, folder)
        with _overload(client, folder, heavy_file, ["neighbour"] * 4):
            next_quote = timed(lambda: client.submit(_job(rings(folder, 1, 48)[0], "customer")).outcome(60))
    p50, p99 = ([statistics.quantiles(times, n=100)[cut] for times in (idle, busy)] for cut in (49, 98))
    figures = f"{1e3 * p99[1]:.0f} over {1e3 * p99[0]:.0f} ms"
    return [
        (f"express p99 beside four heavy files of four owners, {figures}", f"{p99[1] / p99[0]:.2f}", "2", "1.3"),
        (f"the same, p50, {1e3 * p50[1]:.0f} over {1e3 * p50[0]:.0f} ms", f"{p50[1] / p50[0]:.2f}", "", ""),
        ("one express quote right after four heavy files of one owner", f"{next_quote:.2f} s", "", ""),
    ]


def cancel(folder: Path, heavy_file: bytes | None) -> list[Row]:
    """Measure from the call of cancel until the worker has stopped, with an empty queue and a full one."""
    rows: list[Row] = []
    with dispatching(folder, work=run_task) as client:
        for queued in (0, QUEUED):
            flood = [client.submit(job) for job in _flood(folder, queued)]
            if flood:
                _wait_until(lambda: ray.get(client.hello())["waiting"]["bulk"] > 0.9 * QUEUED)
            seconds = [_cancel_once(client, folder, heavy_file, number) for number in range(CANCELS)]
            figures = f"{queued:,} jobs queued, median {statistics.median(seconds):.2f} s"
            rows.append((f"cancel to the stop of the worker, {figures}, max", f"{max(seconds):.2f} s", "1 s", "0.3 s"))
    return rows


def _cancel_once(client: JobClient, folder: Path, heavy_file: bytes | None, number: int) -> float:
    path = write_heavy_file(folder, heavy_file)
    submitted = client.submit(_job(path, f"neighbour-{number}"))
    _wait_until(lambda: _processes(path.name) != [])
    time.sleep(1.0)  # into the kernel
    if not _processes(path.name):
        raise RuntimeError("the file finished by itself; use more --facets")
    start = time.perf_counter()
    submitted.cancel()
    _wait_until(lambda: _processes(path.name) == [])
    return time.perf_counter() - start


def _flood(folder: Path, count: int) -> list[Job]:
    if not count:
        return []
    template = _job(rings(folder, 1, 24)[0], "flood", "bulk")
    return [
        Job(
            uuid.uuid4().hex,
            template.customer,
            template.model,
            f"{number:064x}",
            template.bytes,
            priority=template.priority,
        )
        for number in range(count)
    ]


def _latencies(client: JobClient, folder: Path) -> list[float]:
    """Return the latencies of sequential quotes in seconds."""
    jobs = [_job(model, "customer") for model in rings(folder, QUOTES, 48)]
    return [timed(outcome_of, client, job, 60) for job in jobs]


@contextmanager
def _overload(client: JobClient, folder: Path, heavy_file: bytes | None, owners: Sequence[str]) -> Iterator[None]:
    """Keep a heavy file of each of ``owners`` running during the block."""
    stopping = threading.Event()
    current: dict[int, SubmittedJob] = {}

    def repeat(number: int, owner: str) -> None:
        while not stopping.is_set():
            current[number] = client.submit(_job(write_heavy_file(folder, heavy_file), owner))
            current[number].outcome()

    threads = [threading.Thread(target=repeat, args=each, daemon=True) for each in enumerate(owners)]
    for thread in threads:
        thread.start()
    _wait_until(
        lambda: len(current) == len(owners) and all(_processes(each.job.file_name) for each in current.values())
    )
    yield
    stopping.set()
    for thread in threads:
        while thread.is_alive():
            for each in current.values():
                each.cancel()
            thread.join(0.1)


def _job(path: Path, customer: str, priority: str = "express") -> Job:
    return job_for(path, uuid.uuid4().hex, customer, priority=priority)


def _processes(name: str) -> list[int]:
    """Return the pids of workers that analyse the file of this name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has exited
            continue
    return found


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


ITEMS: dict[str, Callable[[Path, bytes | None], list[Row]]] = {"express": express, "cancel": cancel}

if __name__ == "__main__":
    main()
