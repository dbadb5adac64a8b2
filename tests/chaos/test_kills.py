"""Random ``kill -9`` of workers, dispatcher and a node while jobs run: each job finishes once, with the same bytes.

The short form runs with all tests; ``make chaos`` sets FACET_CHAOS=long for 500 jobs under 100 kills. FACET_CHAOS_SEED
repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
import ray

from benchmarks.ring_models import write_ring
from cluster.local import sessions
from cluster.local.ephemeral import Cluster, local_cluster, use_cluster
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.schema import Analysis
from pricing_engine.distributed.actor import start_dispatcher
from pricing_engine.distributed.client import JobClient, job_for
from pricing_engine.distributed.connect import connect
from pricing_engine.distributed.jobs import JobOutcome, JobStatus
from tests.support.chaos.seed import chaos_seed, stream

LONG = os.environ.get("FACET_CHAOS") == "long"
JOBS, KILLS, EVERY_S = (500, 100, 1.0) if LONG else (48, 10, 0.7)
# A job may restart with each kill, and a killed worker costs its CPU two seconds: speed is not tested.
JOB_TIMEOUT_S = 1000 if LONG else 120
AHEAD = 12
"""Jobs submitted in addition to the share that corresponds to the kills so far."""
KINDS = ["worker", "dispatcher", "node"]
STATED = {"worker_lost", "node_lost", "out_of_memory"}


@pytest.mark.timeout(1500 if LONG else 280)
def test_every_job_finishes_once_with_the_same_bytes(tmp_path: Path) -> None:
    models = [write_ring(tmp_path / f"ring-{n}.stl", n, 64) for n in range(JOBS)]
    shared = shared_memory()
    expected = [without_elapsed_time(measure(model, None, Settings(), 2).analysis) for model in models]
    with local_cluster(tmp_path / "ray", cpus=1) as cluster:
        use_cluster(cluster)
        cluster.add_node(1)
        connect(cluster.address)
        try:
            start_dispatcher(str(tmp_path / "analyses"))
            outcomes, kills = disturbed(cluster, JobClient(), models)
        finally:
            ray.shutdown()
        processes = started_by(cluster)
    counts = Counter(outcome.status for outcome in outcomes)
    print(f"{JOBS} jobs, kills {dict(kills)}, outcomes {dict(counts)}, "
          f"{sum(outcome.attempts > 1 for outcome in outcomes)} needed another worker")  # fmt: skip
    assert sum(kills.values()) == KILLS
    assert set(kills) == set(KINDS)
    assert len({outcome.job_id for outcome in outcomes}) == JOBS
    for outcome, local in zip(outcomes, expected, strict=True):
        if outcome.status is JobStatus.DONE:
            assert outcome.analysis is not None
            assert without_elapsed_time(Analysis.from_dict(json.loads(outcome.analysis))) == local
        else:
            assert outcome.code in STATED, outcome
    assert counts[JobStatus.DONE] >= 0.95 * JOBS
    assert processes, "the cluster ran until its block ended"
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert not cluster.paths.temp.exists()
    assert shared_memory() <= shared


def disturbed(cluster: Cluster, client: JobClient, models: list[Path]) -> tuple[list[JobOutcome], Counter[str]]:
    """Return the outcomes of a job for each model while processes are killed, and the kills by kind."""
    chance = stream(chaos_seed(), "cluster")
    kills: Counter[str] = Counter()
    failures: list[BaseException] = []

    def strike() -> None:
        try:
            while sum(kills.values()) < KILLS:
                time.sleep(chance.uniform(0.2, 1.8) * EVERY_S)
                kind = KINDS[sum(kills.values())] if sum(kills.values()) < 3 else chance.choices(KINDS, [7, 2, 1])[0]
                kills[kind] += hit(kind, cluster, client, chance)
        except BaseException as error:
            failures.append(error)

    striker = threading.Thread(target=strike)
    striker.start()
    submitted = []
    for number, model in enumerate(models):
        # Jobs are submitted until the last kill, so that some are always running.
        while sum(kills.values()) < KILLS * (number - AHEAD) / (JOBS - AHEAD) and striker.is_alive():
            time.sleep(0.02)
        submitted.append(client.submit(job_for(model, uuid.uuid4().hex, f"customer-{number % 5}")))
    outcomes = [each.outcome(JOB_TIMEOUT_S) for each in submitted]
    striker.join()
    assert not failures, failures
    return outcomes, kills


def hit(kind: str, cluster: Cluster, client: JobClient, chance: random.Random) -> int:
    """Kill one process, or one node, which is replaced; return 1 if there was one to kill."""
    if kind == "node":
        cluster.remove_node(cluster.nodes.pop())
        cluster.add_node(1)
        return 1
    if kind == "dispatcher":
        os.kill(ray.get(client.hello())["pid"], signal.SIGKILL)
        return 1
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if workers := [pid for pid in started_by(cluster) if title(pid).startswith("ray::analyse")]:
            os.kill(chance.choice(workers), signal.SIGKILL)
            return 1
        time.sleep(0.02)
    return 0


def started_by(cluster: Cluster) -> list[int]:
    """Return the pids of the cluster's processes."""
    return [process.pid for node in cluster.nodes for process in sessions.members(node.session)]


def shared_memory() -> set[str]:
    """Return the names of the machine's shared-memory objects."""
    return set(os.listdir("/dev/shm"))


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def without_elapsed_time(analysis: Analysis) -> str:
    """Return the analysis as JSON without its elapsed time."""
    values = analysis.to_dict()
    del values["elapsed_s"]
    return json.dumps(values)
