"""What greedy customers cost others on the cluster, and how fast withdrawn work ends.

``python -m benchmarks.greed [ITEM ...]`` begins private clusters on this machine and ends them. The slow file is one
face that repeats three corners: a few kilobytes that become thousands of equal facets. ``--corners`` says how many, so
that it can be made slow enough for the engine at hand; a file that ends while it is needed fails the measurement.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray
from rich.console import Console
from rich.table import Table

from benchmarks.distributed import CORES, Row, dispatching, rings, timed
from pricing_engine.distributed.client import Client, Submitted, job_for
from pricing_engine.distributed.jobs import Job, Status

QUOTES, WAITING, CANCELS = 200, 10_000, 10
_POLL_S = 0.002
_LONGEST_S = 60.0


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    parser.add_argument("--corners", type=int, default=40_000, help="corners of the slow file's face")
    chosen = parser.parse_args()
    table = Table(title=f"On {CORES} cores", title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with tempfile.TemporaryDirectory() as folder:
        for item in chosen.items or ITEMS:
            for row in ITEMS[item](Path(folder), chosen.corners):
                table.add_row(*row)
    Console(width=150).print(table)


def write_slow(path: Path, corners: int, number: int) -> Path:
    """A file of about ``2 * corners`` bytes; ``number`` makes it one of its own."""
    face = " ".join(str(corner % 3 + 1) for corner in range(corners))
    path.write_text(f"# {number}\nv 0 0 0\nv 10 0 0\nv 0 10 0\nf {face}\n")
    return path


def express(folder: Path, corners: int) -> list[Row]:
    """Express quotes of one customer, idle and while four slow express files of four others run."""
    with dispatching(folder) as client:
        idle = _latencies(client, folder)
        slow = _occupy(client, folder, corners, [f"greedy-{number}" for number in range(4)])
        time.sleep(3.0)  # past the start of more workers
        busy = _latencies(client, folder, slow)
        _end(slow)
        slow = _occupy(client, folder, corners, ["greedy"] * 4)
        at_once = timed(lambda: client.submit(_job(rings(folder, 1, 48)[0], "somebody")).outcome(60))
        _end(slow)
    p50, p99 = ([statistics.quantiles(times, n=100)[cut] for times in (idle, busy)] for cut in (49, 98))
    shown = f"{1e3 * p99[1]:.0f} over {1e3 * p99[0]:.0f} ms"
    return [
        (f"express p99 beside four slow files of four owners, {shown}", f"{p99[1] / p99[0]:.2f}", "2", "1.3"),
        (f"the same, p50, {1e3 * p50[1]:.0f} over {1e3 * p50[0]:.0f} ms", f"{p50[1] / p50[0]:.2f}", "", ""),
        ("one express quote right after four slow files of one owner", f"{at_once:.2f} s", "", ""),
    ]


def cancel(folder: Path, corners: int) -> list[Row]:
    """From the call of cancel until the worker has stopped, with an empty queue and a full one."""
    rows: list[Row] = []
    with dispatching(folder) as client:
        for waiting in (0, WAITING):
            flood = [client.submit(job) for job in _flood(folder, waiting)]
            if flood:
                _until(lambda: ray.get(client.hello())["waiting"]["bulk"] > 0.9 * WAITING)
            took = [_cancel_once(client, folder, corners, number) for number in range(CANCELS)]
            shown = f"{waiting:,} waiting, median {statistics.median(took):.2f} s"
            rows.append((f"cancel to the end of the work, {shown}, worst", f"{max(took):.2f} s", "1 s", "0.3 s"))
            _end(flood)
    return rows


def _cancel_once(client: Client, folder: Path, corners: int, number: int) -> float:
    path = write_slow(folder / f"cancelled-{uuid.uuid4().hex}.obj", corners, number)
    submitted = client.submit(_job(path, f"greedy-{number}"))
    _until(lambda: _processes(path.name) != [])
    time.sleep(1.0)  # into the kernel
    if not _processes(path.name):
        raise RuntimeError(f"a file of {corners} corners ended by itself; give more")
    begin = time.perf_counter()
    submitted.cancel()
    _until(lambda: _processes(path.name) == [])
    return time.perf_counter() - begin


def _flood(folder: Path, count: int) -> list[Job]:
    if not count:
        return []
    known = _job(rings(folder, 1, 24)[0], "flood", "bulk")
    return [
        Job(uuid.uuid4().hex, known.customer, known.model, f"{number:064x}", known.bytes, priority=known.priority)
        for number in range(count)
    ]


def _latencies(client: Client, folder: Path, meanwhile: Sequence[Submitted] = ()) -> list[float]:
    """Seconds of quotes one after the other, which ``meanwhile`` must outlast."""
    jobs = [_job(model, "somebody") for model in rings(folder, QUOTES, 48)]
    times = [timed(lambda job=job: client.submit(job).outcome(60)) for job in jobs]
    if ray.wait([each.reference for each in meanwhile] or [ray.put(0)], timeout=0)[0] and meanwhile:
        raise RuntimeError("a slow file ended while it was needed; give more --corners")
    return times


def _occupy(client: Client, folder: Path, corners: int, owners: Sequence[str]) -> list[Submitted]:
    names = [f"slow-{uuid.uuid4().hex}.obj" for _ in owners]
    paths = [write_slow(folder / name, corners, number) for number, name in enumerate(names)]
    slow = [client.submit(_job(path, owner)) for path, owner in zip(paths, owners, strict=True)]
    _until(lambda: all(_processes(name) for name in names))
    return slow


def _end(jobs: Sequence[Submitted]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Submitted.cancel, jobs))
    assert all(each.outcome(60).status in (Status.CANCELLED, Status.FAILED) for each in jobs)


def _job(path: Path, customer: str, priority: str = "express") -> Job:
    return job_for(path, uuid.uuid4().hex, customer, priority=priority)


def _processes(name: str) -> list[int]:
    """Workers that analyse the file of this name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _LONGEST_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {_LONGEST_S:.0f} s")
        time.sleep(_POLL_S)


ITEMS: dict[str, Callable[[Path, int], list[Row]]] = {"express": express, "cancel": cancel}

if __name__ == "__main__":
    main()
