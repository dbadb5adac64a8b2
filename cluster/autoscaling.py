"""Autoscaling shown on one machine: a cluster whose autoscaler really starts and ends nodes, as processes.

Ray's ``fake_multinode`` provider does not load from the wheel, but the class behind it does when it is named as an
``external`` provider. Its nodes are raylets that the head's monitor starts, so they belong to the head's session and
end with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_TYPE, WORKER_TYPE = "ray.head.default", "facet.worker"
# Also says to FakeMultiNodeProvider that it is meant; it refuses without.
ENVIRONMENT = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}


def one_machine_config(gcs_address: str, max_workers: int, worker_cpus: int, idle_s: float) -> dict[str, Any]:
    """A cluster file for ``ray start --head --autoscaling-config``: no worker at first, ``max_workers`` at most.

    ``idle_s``: a worker without tasks for so long is ended.
    """
    return {
        "cluster_name": "facet-one-machine",
        "max_workers": max_workers,
        "upscaling_speed": float(max_workers),
        "idle_timeout_minutes": idle_s / 60,
        "provider": {
            "type": "external",
            "module": PROVIDER,
            "gcs_address": gcs_address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
        },
        "head_node_type": HEAD_TYPE,
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0},
            WORKER_TYPE: {
                "resources": {"CPU": worker_cpus},
                "node_config": {},
                "min_workers": 0,
                "max_workers": max_workers,
            },
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


def write_config(path: Path, config: dict[str, Any]) -> Path:
    """Write a cluster file and return where."""
    path.write_text(yaml.safe_dump(config))
    return path


def seconds_until(reached: Callable[[], bool], within_s: float, what: str) -> float:
    """Seconds until ``reached()``; raises TimeoutError that names ``what`` after ``within_s``."""
    began = time.monotonic()
    while not reached():
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"{what} not reached within {within_s:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began
