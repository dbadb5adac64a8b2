"""Autoscaling on one machine: a cluster whose autoscaler starts and stops nodes as processes.

Ray's ``fake_multinode`` provider does not load from the wheel, but its class does when it is configured as an
``external`` provider. Its nodes are raylets that the head's monitor starts, so they belong to the head's session and
stop with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_TYPE, WORKER_TYPE = "ray.head.default", "facet.worker"
# FakeMultiNodeProvider refuses to start without RAY_FAKE_CLUSTER.
FAKE_MULTI_NODE_ENV = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}


@dataclass(frozen=True, slots=True)
class FakeMultiNode:
    """Start with no worker, scale to ``max_workers`` of ``worker_cpus`` CPUs; stop a worker idle for ``idle_s``."""

    max_workers: int = 3
    worker_cpus: int = 1
    idle_s: float = 3.0

    def config(self, gcs_address: str) -> dict[str, Any]:
        """Return the cluster file for ``ray start --head --autoscaling-config``."""
        head: dict[str, Any] = {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0}
        worker = {"resources": {"CPU": self.worker_cpus}, "min_workers": 0, "max_workers": self.max_workers}
        empty_lists = ("cluster_synced_files", "initialization_commands", "setup_commands", "head_setup_commands",
                 "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")  # fmt: skip
        return {
            "cluster_name": "facet-one-machine",
            "max_workers": self.max_workers,
            "upscaling_speed": float(self.max_workers),
            "idle_timeout_minutes": self.idle_s / 60,
            "provider": {
                "type": "external",
                "module": PROVIDER,
                "gcs_address": gcs_address,
                # All nodes have this machine's address, so Ray identifies them by their ids instead.
                "use_node_id_as_ip": True,
                # The nodes need no set-up over ssh and can be started several at a time.
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
                "launch_multiple": True,
            },
            "head_node_type": HEAD_TYPE,
            "available_node_types": {HEAD_TYPE: head, WORKER_TYPE: {**worker, "node_config": {}}},
            **{name: {} for name in ("auth", "docker", "file_mounts")},
            **{name: [] for name in empty_lists},
        }

    def write(self, path: Path, gcs_address: str) -> Path:
        """Write the cluster file and return its path."""
        path.write_text(yaml.safe_dump(self.config(gcs_address)))
        return path
