"""The guard against Ray in unit tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import ray

from cluster.local import sessions
from cluster.local.ray_nodes import RAY


def test_ray_can_not_be_started_in_a_unit_test(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="unit tests start no Ray"):
        ray.init()
    with pytest.raises(RuntimeError, match="unit tests start no Ray"):
        subprocess.run([*RAY, "start", "--head"], check=False)
    with pytest.raises(RuntimeError, match="unit tests start no Ray"):
        subprocess.Popen("ray start --head", shell=True)
    with pytest.raises(RuntimeError, match="unit tests start no Ray"):
        sessions.start([*RAY, "start", "--head"], tmp_path / "log")


def test_other_commands_still_run() -> None:
    assert subprocess.run([sys.executable, "-c", "print('ray')"], check=True, capture_output=True).stdout == b"ray\n"
