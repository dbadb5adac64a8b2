"""The rules for how Ray is started on head and workers: no tasks on the head, loopback, token, shared memory."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, mapping, sequence, shown, text
from cluster.checks.ray_start import RayStart, docker_environment, ray_starts

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def check_starts(config: dict[str, Any], ray: str) -> Iterator[Finding]:
    """Finds what is wrong in the start commands of head and workers."""
    docker = mapping(config.get("docker"))
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
        options = [*sequence(docker.get("run_options")), *sequence(docker.get(f"{role}_run_options"))]
        environment = docker_environment(options) | start.environment
        yield from _head(start, config) if role == "head" else _worker(start)
        yield from check_token(environment, mapping(config.get("file_mounts")), start.key)
        yield from _shared_memory(start, options)


def _head(start: RayStart, config: dict[str, Any]) -> Iterator[Finding]:
    if not start.options["head"]:
        yield Finding("ray-start-role", start.key, "the head's start lacks --head", "--head")
    if start.options["num_cpus"] != 0:
        if start.options["num_cpus"] is not None:
            wrong = f"--num-cpus={start.options['num_cpus']}: tasks run beside the GCS and can starve it"
            yield Finding("head-takes-tasks", start.key, wrong, "--num-cpus=0")
        elif mapping(config.get("provider")).get("type") == "local":
            # On EC2 the type's resources say it; a local head has no type of its own.
            wrong = "no --num-cpus: the head offers all its CPUs to tasks"
            yield Finding("head-takes-tasks", start.key, wrong, "--num-cpus=0")
    if not start.options["autoscaling_config"]:
        wrong = "no --autoscaling-config: the cluster would never grow"
        yield Finding("no-autoscaler", start.key, wrong, "--autoscaling-config=~/ray_bootstrap_config.yaml")
    host = text(start.options["dashboard_host"])
    if not is_loopback(host):
        wrong = f"--dashboard-host={shown(host)} listens beyond the machine: whoever reaches it can run code"
        yield Finding(
            "dashboard-open", start.key, wrong, "--dashboard-host=127.0.0.1, and `ray dashboard` to look at it"
        )


def _worker(start: RayStart) -> Iterator[Finding]:
    if start.options["head"] or not start.options["address"]:
        yield Finding("ray-start-role", start.key, "a worker's start joins no head", "--address=$RAY_HEAD_IP:6379")


def check_token(environment: dict[str, str], mounts: dict[str, Any], key: str) -> Iterator[Finding]:
    """Finds a start without token authentication, a token written into the file, and one that no node would have."""
    token = environment.get("RAY_AUTH_TOKEN", "")
    if token and not token.startswith("$"):
        wrong = "the token itself stands in the file, which is no secret"
        yield Finding("token-in-file", key, wrong, "RAY_AUTH_TOKEN_PATH and a file under file_mounts; and a new token")
        return
    if environment.get("RAY_AUTH_MODE") != "token":
        wrong = "RAY_AUTH_MODE is not token: whoever reaches a port can run code"
        yield Finding("token-missing", key, wrong, "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH in its environment")
        return
    path = environment.get("RAY_AUTH_TOKEN_PATH", "")
    if not any(path == mount or path.startswith(mount.rstrip("/") + "/") for mount in mounts):
        wrong = f"RAY_AUTH_TOKEN_PATH={shown(path)} lies in no file_mounts: nodes would not have it"
        yield Finding("token-not-mounted", key, wrong, "a path under a key of file_mounts")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shared_memory(start: RayStart, options: list[Any]) -> Iterator[Finding]:
    """An object store larger than the container's /dev/shm goes to disk, with a warning that nobody reads."""
    wanted = start.options["object_store_memory"]
    sizes = re.findall(r"--shm-size[= ]['\"]?(\d+(?:\.\d+)?)([bkmg]?)", " ".join(map(text, options)), re.IGNORECASE)
    if wanted is None or not sizes:
        return
    amount, unit = sizes[-1]
    given = float(amount) * _UNITS[unit.lower()]
    if given < wanted:
        wrong = f"the object store of {wanted / 2**30:.1f} GiB does not fit --shm-size of {given / 2**30:.1f} GiB"
        yield Finding("shm-too-small", start.key, wrong, "--shm-size above --object-store-memory")
