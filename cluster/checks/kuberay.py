"""Rules for a KubeRay RayService manifest.

Kubernetes drops unknown keys; the allowed ones are those of KubeRay 1.7 (ray-operator/apis/ray/v1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, as_int, as_list, as_mapping, as_text, one_line
from cluster.checks.kuberay_pods import check_pods
from cluster.checks.placeholders import placeholders
from cluster.checks.serve_config import check_serve
from cluster.checks.yaml_reader import read_text

_ALLOWED_KEYS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "rayClusterDeletionDelaySeconds", "serviceUnhealthySecondThreshold", "deploymentUnhealthySecondThreshold",
        "serveService", "upgradeStrategy", "serveConfigV2", "rayClusterConfig", "excludeHeadPodFromServeSvc",
    },
    "spec.rayClusterConfig": {
        "upgradeStrategy", "authOptions", "suspend", "managedBy", "autoscalerOptions", "headServiceAnnotations",
        "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "historyServerOptions", "networkPolicy", "tlsOptions",
        "headGroupSpec", "rayVersion", "workerGroupSpecs",
    },
    "spec.rayClusterConfig.authOptions": {"enableK8sTokenAuth", "secretName", "mode"},
    "spec.rayClusterConfig.autoscalerOptions": {
        "resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds", "upscalingMode", "version",
        "env", "envFrom", "volumeMounts", "command", "args",
    },
    "spec.rayClusterConfig.headGroupSpec": {
        "template", "headService", "enableIngress", "ingressOptions", "resources", "labels", "rayStartParams",
        "serviceType",
    },
    "spec.rayClusterConfig.workerGroupSpecs[]": {
        "suspend", "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "priority", "resources",
        "labels", "rayStartParams", "template", "scaleStrategy", "numOfHosts",
    },
}  # fmt: skip
_CLUSTER = "spec.rayClusterConfig"


def check_rayservice(manifest: dict[str, Any], ray: str) -> list[Finding]:
    """Return all findings of a RayService manifest; ``ray`` is the version that requirements.lock pins."""
    return [*_rules(manifest, ray), *placeholders(manifest)]


def _rules(manifest: dict[str, Any], ray: str) -> Iterator[Finding]:
    if manifest.get("apiVersion") != "ray.io/v1":
        yield Finding("api-version", "apiVersion", f"{one_line(manifest.get('apiVersion'))}", "ray.io/v1")
    if manifest.get("kind") != "RayService":
        yield Finding("kind", "kind", f"{one_line(manifest.get('kind'))} is not checked here", "RayService")
    if not as_text(as_mapping(manifest.get("metadata")).get("name")):
        yield Finding("name-missing", "metadata.name", "not given", "a name, such as facet")
    spec = as_mapping(manifest.get("spec"))
    cluster = as_mapping(spec.get("rayClusterConfig"))
    yield from _unknown_keys(manifest)
    yield from _serve(spec)
    yield from _cluster(cluster, ray)
    yield from check_pods(cluster, _CLUSTER, ray)
    yield from _groups(cluster)


def _unknown_keys(manifest: dict[str, Any]) -> Iterator[Finding]:
    for path, allowed in _ALLOWED_KEYS.items():
        found: list[tuple[str, Any]] = [("", manifest)]
        for part in path.split(".") if path else []:
            name = part.removesuffix("[]")
            found = [(f"{where}.{name}".lstrip("."), as_mapping(value).get(name)) for where, value in found]
            if part.endswith("[]"):
                found = [(f"{where}[{i}]", item) for where, value in found for i, item in enumerate(as_list(value))]
        for where, value in found:
            if value is not None and not isinstance(value, dict):
                yield Finding("schema", where, f"a {type(value).__name__}, not keys and values", "keys and values")
            for key in sorted(set(as_mapping(value)) - allowed):
                matches = difflib.get_close_matches(key, allowed, 1)
                fix = f"{matches[0]}, if that is meant" if matches else "nothing here: remove it"
                yield Finding("unknown-key", f"{where}.{key}".lstrip("."), "Kubernetes drops it silently", fix)


def _serve(spec: dict[str, Any]) -> Iterator[Finding]:
    content, path = spec.get("serveConfigV2"), "spec.serveConfigV2"
    if not isinstance(content, str):
        problem = "not given" if content is None else f"a {type(content).__name__}, not text"
        yield Finding("serve-config", path, problem, "the Serve configuration as a block of text (|)")
        return
    config, findings = read_text(content, path)
    yield from findings
    if config is not None:
        yield from check_serve(config, path)


def _cluster(cluster: dict[str, Any], ray: str) -> Iterator[Finding]:
    version = cluster.get("rayVersion")
    if version != ray:
        problem = "not given" if version is None else f"{one_line(version)}, but requirements.lock has {ray}"
        yield Finding("ray-version", f"{_CLUSTER}.rayVersion", problem, ray)
    if as_mapping(cluster.get("authOptions")).get("mode") != "token":
        problem = "token authentication is off: anyone who reaches the head can run code"
        yield Finding("token-missing", f"{_CLUSTER}.authOptions.mode", problem, "mode: token")
    if cluster.get("enableInTreeAutoscaling") is not True:
        problem = "the cluster would not follow the load"
        yield Finding("no-autoscaler", f"{_CLUSTER}.enableInTreeAutoscaling", problem, "true")
    idle = as_int(as_mapping(cluster.get("autoscalerOptions")).get("idleTimeoutSeconds"))
    if idle is None or idle <= 0:
        path = f"{_CLUSTER}.autoscalerOptions.idleTimeoutSeconds"
        yield Finding(
            "idle-timeout", path, "not given" if idle is None else f"{idle} s", "seconds above 0, such as 300"
        )
    head, path = as_mapping(cluster.get("headGroupSpec")), f"{_CLUSTER}.headGroupSpec"
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        problem = f"{one_line(head['serviceType'])} opens the dashboard beyond Kubernetes"
        yield Finding(
            "dashboard-open", f"{path}.serviceType", problem, "ClusterIP, and kubectl port-forward to open it"
        )
    if head.get("enableIngress"):
        yield Finding("dashboard-open", f"{path}.enableIngress", "an ingress opens the dashboard", "false")


def _groups(cluster: dict[str, Any]) -> Iterator[Finding]:
    groups = [as_mapping(group) for group in as_list(cluster.get("workerGroupSpecs"))]
    if not groups:
        yield Finding("no-workers", f"{_CLUSTER}.workerGroupSpecs", "no group: nothing could run", "a worker group")
    names: set[str] = set()
    for index, group in enumerate(groups):
        path = f"{_CLUSTER}.workerGroupSpecs[{index}]"
        name = as_text(group.get("groupName"))
        if not name or name in names:
            problem = f"{one_line(name)} is used twice" if name else "not given"
            yield Finding("group-name", f"{path}.groupName", problem, "a unique name")
        names.add(name)
        yield from _replicas(group, path)
        idle = group.get("idleTimeoutSeconds")
        if idle is not None and (as_int(idle) or 0) <= 0:
            yield Finding("idle-timeout", f"{path}.idleTimeoutSeconds", f"{one_line(idle)} s", "seconds above 0")
    spot = [index for index, group in enumerate(groups) if _is_spot(group)]
    on_demand = [group for group in groups if not _is_spot(group) and (as_int(group.get("maxReplicas")) or 0) > 0]
    if spot and not on_demand:
        problem = "no on-demand group that may grow: without spot capacity tasks wait forever"
        path = f"{_CLUSTER}.workerGroupSpecs[{spot[0]}]"
        yield Finding("spot-without-on-demand", path, problem, "a group of the same size without spot")


def _replicas(group: dict[str, Any], path: str) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    for key in ("minReplicas", "replicas", "maxReplicas"):
        count = as_int(group.get(key))
        if count is None:
            problem = "not given" if group.get(key) is None else f"{one_line(group[key])} is no whole number"
            yield Finding("replicas-missing", f"{path}.{key}", problem, "a whole number")
        elif count < 0:
            yield Finding("negative-count", f"{path}.{key}", f"{count} pods", "0 or more")
        else:
            counts[key] = count
    if len(counts) == 3 and not counts["minReplicas"] <= counts["replicas"] <= counts["maxReplicas"]:
        problem = f"{counts['minReplicas']} <= {counts['replicas']} <= {counts['maxReplicas']} does not hold"
        yield Finding("replicas-order", f"{path}.replicas", problem, "minReplicas <= replicas <= maxReplicas")


def _is_spot(group: dict[str, Any]) -> bool:
    selector = as_mapping(as_mapping(as_mapping(group.get("template")).get("spec")).get("nodeSelector"))
    markets = [as_mapping(group.get("labels")).get("ray.io/market-type"), *selector.values()]
    return any(as_text(value).lower() == "spot" for value in markets)
