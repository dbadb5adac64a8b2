"""What greedy customers cost others on the cluster, and how fast withdrawn work ends.

``python -m benchmarks.greed [ITEM ...]`` begins private clusters on this machine and ends them. A greedy file is worked
on until its deadline, in one call that computes without the GIL and hears no interrupt, whatever the engine makes of
the worst files; with ``--kind KIND`` it is a real one, a kind of ``tests/worst_cases.py`` of ``--facets N``.
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

from benchmarks.distributed import CORES, Row, dispatching, rings, timed
from pricing_engine.distributed.actor import warm_workers
from pricing_engine.distributed.client import Client, SubmittedJob, job_for
from pricing_engine.distributed.jobs import Job
from pricing_engine.distributed.task_messages import AnalysisResult, AnalysisTask
from pricing_engine.distributed.worker import analyse
from tests import worst_cases

QUOTES, WAITING, CANCELS = 200, 10_000, 10
_POLL_S = 0.002
_LONGEST_S = 60.0


def main() -> None:
    """Measure the items named, or all, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"of {', '.join(ITEMS)}; default: all")
    parser.add_argument("--kind", choices=worst_cases.KINDS, help="take a worst case for the greedy file")
    parser.add_argument("--facets", type=int, default=10_000, metavar="N", help="of the worst case")
    chosen = parser.parse_args()
    greedy = worst_cases.ply(*worst_cases.KINDS[chosen.kind](chosen.facets)) if chosen.kind else None
    table = Table(title=f"On {CORES} cores", title_justify="left")
    for column in ("what", "measured", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with tempfile.TemporaryDirectory() as folder:
        for item in chosen.items or ITEMS:
            for row in ITEMS[item](Path(folder), greedy):
                table.add_row(*row)
    Console(width=150).print(table)


def work(order: AnalysisTask) -> AnalysisResult:
    """A worker's task; a file called stuck is worked on without end."""
    if Path(order.model).name.startswith("stuck"):
        hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
    return analyse(order)


def write_greedy(folder: Path, greedy: bytes | None) -> Path:
    """A greedy file that nothing has seen yet: ``greedy``, a PLY file, if given."""
    name = uuid.uuid4().hex
    content = greedy or worst_cases.ply(*worst_cases.equal(1))
    path = folder / f"{'slow' if greedy else 'stuck'}-{name}.ply"
    path.write_bytes(content.replace(b"ply\n", f"ply\ncomment {name}\n".encode(), 1))
    return path


def express(folder: Path, greedy: bytes | None) -> list[Row]:
    """Express quotes of one customer, idle and while four greedy express files of four others run."""
    with dispatching(folder, work=work) as client:
        ray.get(warm_workers(CORES))  # as where the services run
        time.sleep(10.0)  # some of them have begun for others that were ready sooner
        idle = _latencies(client, folder)
        with _greedy(client, folder, greedy, [f"greedy-{number}" for number in range(4)]):
            time.sleep(3.0)  # past the start of more workers
            busy = _latencies(client, folder)
        with _greedy(client, folder, greedy, ["greedy"] * 4):
            at_once = timed(lambda: client.submit(_job(rings(folder, 1, 48)[0], "somebody")).outcome(60))
    p50, p99 = ([statistics.quantiles(times, n=100)[cut] for times in (idle, busy)] for cut in (49, 98))
    shown = f"{1e3 * p99[1]:.0f} over {1e3 * p99[0]:.0f} ms"
    return [
        (f"express p99 beside four greedy files of four owners, {shown}", f"{p99[1] / p99[0]:.2f}", "2", "1.3"),
        (f"the same, p50, {1e3 * p50[1]:.0f} over {1e3 * p50[0]:.0f} ms", f"{p50[1] / p50[0]:.2f}", "", ""),
        ("one express quote right after four greedy files of one owner", f"{at_once:.2f} s", "", ""),
    ]


def cancel(folder: Path, greedy: bytes | None) -> list[Row]:
    """From the call of cancel until the worker has stopped, with an empty queue and a full one."""
    rows: list[Row] = []
    with dispatching(folder, work=work) as client:
        for waiting in (0, WAITING):
            flood = [client.submit(job) for job in _flood(folder, waiting)]
            if flood:
                _until(lambda: ray.get(client.hello())["waiting"]["bulk"] > 0.9 * WAITING)
            took = [_cancel_once(client, folder, greedy, number) for number in range(CANCELS)]
            shown = f"{waiting:,} waiting, median {statistics.median(took):.2f} s"
            rows.append((f"cancel to the end of the work, {shown}, worst", f"{max(took):.2f} s", "1 s", "0.3 s"))
    return rows


def _cancel_once(client: Client, folder: Path, greedy: bytes | None, number: int) -> float:
    path = write_greedy(folder, greedy)
    submitted = client.submit(_job(path, f"greedy-{number}"))
    _until(lambda: _processes(path.name) != [])
    time.sleep(1.0)  # into the kernel
    if not _processes(path.name):
        raise RuntimeError("the file ended by itself; give more --facets")
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


def _latencies(client: Client, folder: Path) -> list[float]:
    """Seconds of quotes one after the other."""
    jobs = [_job(model, "somebody") for model in rings(folder, QUOTES, 48)]
    return [timed(lambda job=job: client.submit(job).outcome(60)) for job in jobs]


@contextmanager
def _greedy(client: Client, folder: Path, greedy: bytes | None, owners: Sequence[str]) -> Iterator[None]:
    """Each of ``owners`` has a greedy file in work, and another when that has ended, for the time of the block."""
    stopping = threading.Event()
    current: dict[int, SubmittedJob] = {}

    def repeat(number: int, owner: str) -> None:
        while not stopping.is_set():
            current[number] = client.submit(_job(write_greedy(folder, greedy), owner))
            current[number].outcome()

    threads = [threading.Thread(target=repeat, args=each, daemon=True) for each in enumerate(owners)]
    for thread in threads:
        thread.start()
    _until(lambda: len(current) == len(owners) and all(_processes(each.job.file_name) for each in current.values()))
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


ITEMS: dict[str, Callable[[Path, int | None], list[Row]]] = {"express": express, "cancel": cancel}

if __name__ == "__main__":
    main()
