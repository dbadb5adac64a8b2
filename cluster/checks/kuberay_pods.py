"""Rules for the pods of a RayService: Ray's start parameters, images, and resource requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, as_list, as_mapping, as_text, one_line
from cluster.checks.ray_start import parse_ray_start
from cluster.checks.versions import check_image

_QUANTITY = re.compile(r"^\d+(\.\d+)?(m|[kMGTPE]i?)?$")


def check_pods(cluster: dict[str, Any], prefix: str, ray: str) -> Iterator[Finding]:
    """Yield the findings of the head's and the workers' start parameters and containers."""
    head = as_mapping(cluster.get("headGroupSpec"))
    yield from _head(head, f"{prefix}.headGroupSpec")
    groups = [(f"{prefix}.headGroupSpec", head)]
    for index, group in enumerate(as_list(cluster.get("workerGroupSpecs"))):
        groups.append((f"{prefix}.workerGroupSpecs[{index}]", as_mapping(group)))
    for path, group in groups:
        yield from _start_params(as_mapping(group.get("rayStartParams")), f"{path}.rayStartParams")
        yield from _containers(as_mapping(as_mapping(group.get("template")).get("spec")), f"{path}.template.spec", ray)


def _head(head: dict[str, Any], path: str) -> Iterator[Finding]:
    cpus = as_mapping(head.get("rayStartParams")).get("num-cpus")
    if cpus is None or str(cpus) != "0":
        reason = "num-cpus is not given: Ray takes the pod's" if cpus is None else f"offers {one_line(cpus)} CPU"
        problem = f"{reason}, so tasks run beside the GCS and can starve it"
        yield Finding("head-takes-tasks", f"{path}.rayStartParams.num-cpus", problem, '"0"')
    offered = as_mapping(head.get("resources")).get("CPU")
    if offered is not None and str(offered) != "0":
        problem = f"offers {one_line(offered)} CPU, over num-cpus"
        yield Finding("head-takes-tasks", f"{path}.resources.CPU", problem, '"0", or nothing')


def _start_params(params: dict[str, Any], path: str) -> Iterator[Finding]:
    words = []
    for key, value in params.items():
        if not isinstance(value, str):
            problem = f"{one_line(value)} is read as {type(value).__name__}; Kubernetes refuses all but text"
            yield Finding("param-not-text", f"{path}.{key}", problem, f'"{str(value).lower()}"')
        elif value.lower() in {"true", "false"} and key not in {"log-color", "include-dashboard"}:
            words.append(f"--{key}")  # as the operator does: a flag has no value
        else:
            words.append(f"--{key}={value}")
    options = parse_ray_start(words)
    if isinstance(options, str):
        yield Finding("ray-start-option", path, options, "options of `ray start --help`, without --")


def _containers(pod: dict[str, Any], path: str, ray: str) -> Iterator[Finding]:
    containers = as_list(pod.get("containers"))
    if not containers:
        yield Finding("container-missing", f"{path}.containers", "no container", "a container that runs Ray")
    for index, item in enumerate(containers):
        container, container_path = as_mapping(item), f"{path}.containers[{index}]"
        if index == 0:  # KubeRay starts Ray in the first; others are helpers with images of their own.
            yield from check_image(container.get("image"), f"{container_path}.image", ray)
        requests = as_mapping(as_mapping(container.get("resources")).get("requests"))
        for resource in ("cpu", "memory"):
            amount = requests.get(resource)
            if amount is None:
                problem = "not requested: the pod may be scheduled on a full node and be killed first"
                yield Finding(
                    "requests-missing", f"{container_path}.resources.requests.{resource}", problem, "an amount"
                )
            elif not _QUANTITY.match(str(amount)):
                problem = f"{one_line(amount)} is no amount"
                yield Finding(
                    "requests-missing",
                    f"{container_path}.resources.requests.{resource}",
                    problem,
                    'such as "2", 500m, 6Gi',
                )
        for variable in map(as_mapping, as_list(container.get("env"))):
            if variable.get("name") == "RAY_AUTH_TOKEN" and as_text(variable.get("value")):
                problem = "the token itself is in the file, which is not secret"
                yield Finding(
                    "token-in-file", f"{container_path}.env", problem, "authOptions: {mode: token}; and a new token"
                )
