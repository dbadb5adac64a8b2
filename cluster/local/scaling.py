"""Measure how long a cluster takes to scale from no worker to all of them and back, on this machine.

``python -m cluster.local.scaling ADDRESS WORKERS`` is the driver: a separate process, since a process connects to only
one cluster and the caller may be connected to another.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.autoscaling import FakeMultiNode
from cluster.local.ephemeral import local_cluster

STEP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ScalingResult:
    """The measured times of a cluster that scales up and down.

    Workers ``before``, ids of the ``nodes`` that ran a task each, seconds of scaling up (from the demand) and down, and
    ``samples`` of (second, workers).
    """

    before: int
    nodes: list[str]
    up_s: float
    down_s: float
    samples: list[tuple[float, int]]


def scale_once(folder: Path, scaling: FakeMultiNode) -> ScalingResult:
    """Start a cluster in ``folder``, scale to all its workers and back to none, stop it.

    Raises RuntimeError with the driver's error if a step takes longer than a minute.
    """
    with local_cluster(folder, cpus=0, scaling=scaling) as cluster:
        merged = {**os.environ, **cluster.environment()}
        done = subprocess.run(
            [sys.executable, "-m", __name__, cluster.address, str(scaling.max_workers)],
            env={name: value for name, value in merged.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"scaling failed: {done.stderr.strip()}")
    return ScalingResult(**json.loads(done.stdout))


def drive(address: str, target: int) -> ScalingResult:
    """Occupy ``target`` CPUs until as many workers joined, release them, wait until no worker remains."""
    import ray

    start, samples = time.monotonic(), []

    def workers() -> int:
        count = sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
        samples.append((round(time.monotonic() - start, 2), count))
        return count

    def hold(released: Path) -> str:
        while not released.exists():
            time.sleep(0.05)
        return str(ray.get_runtime_context().get_node_id())

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    before = workers()
    with tempfile.TemporaryDirectory() as folder:
        released = Path(folder) / "released"
        held = [ray.remote(num_cpus=1)(hold).remote(released) for _ in range(target)]
        up_s = _seconds_until(lambda: workers() == target, f"{target} workers")
        released.touch()
        nodes = ray.get(held, timeout=STEP_TIMEOUT_S)
    down_s = _seconds_until(lambda: workers() == 0, "no worker")
    return ScalingResult(before, sorted(set(nodes)), up_s, down_s, samples)


def _seconds_until(reached: Callable[[], bool], what: str) -> float:
    start = time.monotonic()
    while not reached():
        if time.monotonic() - start > STEP_TIMEOUT_S:
            raise TimeoutError(f"{what} not reached within {STEP_TIMEOUT_S:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - start


if __name__ == "__main__":
    scaled = drive(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({name: getattr(scaled, name) for name in ScalingResult.__slots__}))
