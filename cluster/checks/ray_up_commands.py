"""Rules for Ray's start on head and workers: no tasks on the head, loopback, token, shared memory."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, as_list, as_mapping, as_text, one_line
from cluster.checks.ray_start import RayStart, docker_environment, ray_starts

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def check_starts(config: dict[str, Any], ray: str) -> Iterator[Finding]:
    """Yield the findings of the start commands of head and workers."""
    docker = as_mapping(config.get("docker"))
    for role in ("head", "worker"):
        key = f"{role}_start_ray_commands"
        starts, refused = ray_starts(config.get(key), key)
        yield from refused
        if refused:
            continue
        if len(starts) != 1:
            yield Finding(
                "ray-start-missing", key, f"{len(starts)} `ray start`, not one", f"one `ray start` of Ray {ray}"
            )
            continue
        start = starts[0]
        options = [*as_list(docker.get("run_options")), *as_list(docker.get(f"{role}_run_options"))]
        environment = docker_environment(options) | start.environment
        yield from _head(start, config) if role == "head" else _worker(start)
        yield from check_token(environment, as_mapping(config.get("file_mounts")), start.key)
        yield from _shared_memory(start, options)


def _head(start: RayStart, config: dict[str, Any]) -> Iterator[Finding]:
    if not start.options["head"]:
        yield Finding("ray-start-role", start.key, "the head's start lacks --head", "--head")
    if start.options["num_cpus"] != 0:
        if start.options["num_cpus"] is not None:
            problem = f"--num-cpus={start.options['num_cpus']}: tasks run beside the GCS and can starve it"
            yield Finding("head-takes-tasks", start.key, problem, "--num-cpus=0")
        elif as_mapping(config.get("provider")).get("type") == "local":
            # On EC2 the node type's resources set it; a local head has no node type.
            problem = "no --num-cpus: the head offers all its CPUs to tasks"
            yield Finding("head-takes-tasks", start.key, problem, "--num-cpus=0")
    if not start.options["autoscaling_config"]:
        problem = "no --autoscaling-config: the cluster would never grow"
        yield Finding("no-autoscaler", start.key, problem, "--autoscaling-config=~/ray_bootstrap_config.yaml")
    host = as_text(start.options["dashboard_host"])
    if not is_loopback(host):
        problem = f"--dashboard-host={one_line(host)} listens beyond the machine: anyone who reaches it can run code"
        yield Finding(
            "dashboard-open", start.key, problem, "--dashboard-host=127.0.0.1, and `ray dashboard` to open it"
        )


def _worker(start: RayStart) -> Iterator[Finding]:
    if start.options["head"] or not start.options["address"]:
        yield Finding("ray-start-role", start.key, "a worker's start joins no head", "--address=$RAY_HEAD_IP:6379")


def check_token(environment: dict[str, str], mounts: dict[str, Any], key: str) -> Iterator[Finding]:
    """Yield findings for missing token authentication, a token in the file, and a token file that no node has."""
    token = environment.get("RAY_AUTH_TOKEN", "")
    if token and not token.startswith("$"):
        problem = "the token itself is in the file, which is not secret"
        yield Finding(
            "token-in-file", key, problem, "RAY_AUTH_TOKEN_PATH and a file under file_mounts; and a new token"
        )
        return
    if environment.get("RAY_AUTH_MODE") != "token":
        problem = "RAY_AUTH_MODE is not token: anyone who reaches a port can run code"
        yield Finding("token-missing", key, problem, "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH in its environment")
        return
    path = environment.get("RAY_AUTH_TOKEN_PATH", "")
    if not any(path == mount or path.startswith(mount.rstrip("/") + "/") for mount in mounts):
        problem = f"RAY_AUTH_TOKEN_PATH={one_line(path)} is in no file_mounts: nodes would not have it"
        yield Finding("token-not-mounted", key, problem, "a path under a key of file_mounts")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shared_memory(start: RayStart, options: list[Any]) -> Iterator[Finding]:
    """Check that the object store fits the container's /dev/shm: Ray would spill it to disk with only a warning."""
    store = start.options["object_store_memory"]
    sizes = re.findall(r"--shm-size[= ]['\"]?(\d+(?:\.\d+)?)([bkmg]?)", " ".join(map(as_text, options)), re.IGNORECASE)
    if store is None or not sizes:
        return
    amount, unit = sizes[-1]
    shared_memory = float(amount) * _UNITS[unit.lower()]
    if shared_memory < store:
        problem = (
            f"the object store of {store / 2**30:.1f} GiB does not fit --shm-size of {shared_memory / 2**30:.1f} GiB"
        )
        yield Finding("shm-too-small", start.key, problem, "--shm-size above --object-store-memory")
