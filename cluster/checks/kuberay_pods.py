"""The rules for the pods of a RayService: how Ray starts in them, their images, and what they ask Kubernetes for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, mapping, sequence, shown, text
from cluster.checks.ray_start import parse_ray_start
from cluster.checks.versions import check_image

_QUANTITY = re.compile(r"^\d+(\.\d+)?(m|[kMGTPE]i?)?$")


def check_pods(cluster: dict[str, Any], where: str, ray: str) -> Iterator[Finding]:
    """Finds what is wrong in the head's and the workers' start parameters and containers."""
    head = mapping(cluster.get("headGroupSpec"))
    yield from _head(head, f"{where}.headGroupSpec")
    groups = [(f"{where}.headGroupSpec", head)]
    for index, group in enumerate(sequence(cluster.get("workerGroupSpecs"))):
        groups.append((f"{where}.workerGroupSpecs[{index}]", mapping(group)))
    for place, group in groups:
        yield from _start_params(mapping(group.get("rayStartParams")), f"{place}.rayStartParams")
        yield from _containers(mapping(mapping(group.get("template")).get("spec")), f"{place}.template.spec", ray)


def _head(head: dict[str, Any], place: str) -> Iterator[Finding]:
    cpus = mapping(head.get("rayStartParams")).get("num-cpus")
    if cpus is None or str(cpus) != "0":
        said = "num-cpus is not given: Ray takes the pod's" if cpus is None else f"offers {shown(cpus)} CPU"
        wrong = f"{said}, so tasks run beside the GCS and can starve it"
        yield Finding("head-takes-tasks", f"{place}.rayStartParams.num-cpus", wrong, '"0"')
    offered = mapping(head.get("resources")).get("CPU")
    if offered is not None and str(offered) != "0":
        wrong = f"offers {shown(offered)} CPU, over num-cpus"
        yield Finding("head-takes-tasks", f"{place}.resources.CPU", wrong, '"0", or nothing')


def _start_params(params: dict[str, Any], place: str) -> Iterator[Finding]:
    words = []
    for key, value in params.items():
        if not isinstance(value, str):
            wrong = f"{shown(value)} is read as {type(value).__name__}; Kubernetes refuses all but text"
            yield Finding("param-not-text", f"{place}.{key}", wrong, f'"{str(value).lower()}"')
        elif value.lower() in {"true", "false"} and key not in {"log-color", "include-dashboard"}:
            words.append(f"--{key}")  # as the operator does: a flag has no value
        else:
            words.append(f"--{key}={value}")
    options = parse_ray_start(words)
    if isinstance(options, str):
        yield Finding("ray-start-option", place, options, "options of `ray start --help`, without --")


def _containers(pod: dict[str, Any], place: str, ray: str) -> Iterator[Finding]:
    containers = sequence(pod.get("containers"))
    if not containers:
        yield Finding("container-missing", f"{place}.containers", "no container", "a container that runs Ray")
    for index, item in enumerate(containers):
        container, inner = mapping(item), f"{place}.containers[{index}]"
        if index == 0:  # KubeRay starts Ray in the first; others are helpers with images of their own.
            yield from check_image(container.get("image"), f"{inner}.image", ray)
        requests = mapping(mapping(container.get("resources")).get("requests"))
        for resource in ("cpu", "memory"):
            amount = requests.get(resource)
            if amount is None:
                wrong = "not asked for: the pod may land on a full node and be killed first"
                yield Finding("requests-missing", f"{inner}.resources.requests.{resource}", wrong, "an amount")
            elif not _QUANTITY.match(str(amount)):
                wrong = f"{shown(amount)} is no amount"
                yield Finding("requests-missing", f"{inner}.resources.requests.{resource}", wrong, 'as "2", 500m, 6Gi')
        for variable in map(mapping, sequence(container.get("env"))):
            if variable.get("name") == "RAY_AUTH_TOKEN" and text(variable.get("value")):
                wrong = "the token itself stands in the file, which is no secret"
                yield Finding("token-in-file", f"{inner}.env", wrong, "authOptions: {mode: token}; and a new token")
