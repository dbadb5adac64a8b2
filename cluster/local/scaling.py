"""Seconds that a cluster takes from no worker to all of them and back, really scaled on this machine.

``python -m cluster.local.scaling ADDRESS WORKERS`` is the driver: a process of its own, since a process speaks to one
cluster and whoever measures may speak to another.
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

from cluster.autoscaling import OneMachine
from cluster.local.ephemeral import local_cluster

STEP_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Scaled:
    """Workers before, the ids of the nodes that ran a task each, the seconds up (from the demand) and down, and how
    many workers there were at which second.
    """

    before: int
    nodes: list[str]
    up_s: float
    down_s: float
    seen: list[tuple[float, int]]


def scale_once(folder: Path, scaling: OneMachine) -> Scaled:
    """Start a cluster in ``folder``, ask for all its workers, wait until they came and went again, end it.

    Raises RuntimeError with the driver's words where a step takes longer than a minute.
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
    return Scaled(**json.loads(done.stdout))


def drive(address: str, wanted: int) -> Scaled:
    """Hold ``wanted`` CPUs until as many workers came, let go, wait until none is left."""
    import ray

    began, seen = time.monotonic(), []

    def workers() -> int:
        count = sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
        seen.append((round(time.monotonic() - began, 2), count))
        return count

    def hold(released: Path) -> str:
        while not released.exists():
            time.sleep(0.05)
        return str(ray.get_runtime_context().get_node_id())

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    before = workers()
    with tempfile.TemporaryDirectory() as folder:
        released = Path(folder) / "released"
        held = [ray.remote(num_cpus=1)(hold).remote(released) for _ in range(wanted)]
        up_s = _seconds_until(lambda: workers() == wanted, f"{wanted} workers")
        released.touch()
        nodes = ray.get(held, timeout=STEP_WITHIN_S)
    down_s = _seconds_until(lambda: workers() == 0, "no worker")
    return Scaled(before, sorted(set(nodes)), up_s, down_s, seen)


def _seconds_until(reached: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    while not reached():
        if time.monotonic() - began > STEP_WITHIN_S:
            raise TimeoutError(f"{what} not reached within {STEP_WITHIN_S:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


if __name__ == "__main__":
    scaled = drive(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({name: getattr(scaled, name) for name in Scaled.__slots__}))
