"""The rules for a KubeRay RayService manifest.

Kubernetes drops keys that it does not know; the known ones are those of KubeRay 1.7 (ray-operator/apis/ray/v1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, mapping, sequence, shown, text, whole
from cluster.checks.kuberay_pods import check_pods
from cluster.checks.placeholders import placeholders
from cluster.checks.serve_config import check_serve
from cluster.checks.yaml_reader import read_text

_KNOWN = {
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
    """Everything that is wrong in a RayService manifest; ``ray`` is the version that requirements.lock pins."""
    return [*_rules(manifest, ray), *placeholders(manifest)]


def _rules(manifest: dict[str, Any], ray: str) -> Iterator[Finding]:
    if manifest.get("apiVersion") != "ray.io/v1":
        yield Finding("api-version", "apiVersion", f"{shown(manifest.get('apiVersion'))}", "ray.io/v1")
    if manifest.get("kind") != "RayService":
        yield Finding("kind", "kind", f"{shown(manifest.get('kind'))} is not checked here", "RayService")
    if not text(mapping(manifest.get("metadata")).get("name")):
        yield Finding("name-missing", "metadata.name", "not given", "a name, as facet")
    spec = mapping(manifest.get("spec"))
    cluster = mapping(spec.get("rayClusterConfig"))
    yield from _unknown_keys(manifest)
    yield from _serve(spec)
    yield from _cluster(cluster, ray)
    yield from check_pods(cluster, _CLUSTER, ray)
    yield from _groups(cluster)


def _unknown_keys(manifest: dict[str, Any]) -> Iterator[Finding]:
    for place, known in _KNOWN.items():
        found: list[tuple[str, Any]] = [("", manifest)]
        for part in place.split(".") if place else []:
            name = part.removesuffix("[]")
            found = [(f"{where}.{name}".lstrip("."), mapping(value).get(name)) for where, value in found]
            if part.endswith("[]"):
                found = [(f"{where}[{i}]", item) for where, value in found for i, item in enumerate(sequence(value))]
        for where, value in found:
            if value is not None and not isinstance(value, dict):
                yield Finding("schema", where, f"a {type(value).__name__}, not keys and values", "keys and values")
            for key in sorted(set(mapping(value)) - known):
                likely = difflib.get_close_matches(key, known, 1)
                write = f"{likely[0]}, if that is meant" if likely else "nothing here: remove it"
                yield Finding("unknown-key", f"{where}.{key}".lstrip("."), "Kubernetes drops it in silence", write)


def _serve(spec: dict[str, Any]) -> Iterator[Finding]:
    content, place = spec.get("serveConfigV2"), "spec.serveConfigV2"
    if not isinstance(content, str):
        said = "not given" if content is None else f"a {type(content).__name__}, not text"
        yield Finding("serve-config", place, said, "the Serve configuration as a block of text (|)")
        return
    config, findings = read_text(content, place)
    yield from findings
    if config is not None:
        yield from check_serve(config, place)


def _cluster(cluster: dict[str, Any], ray: str) -> Iterator[Finding]:
    version = cluster.get("rayVersion")
    if version != ray:
        wrong = "not given" if version is None else f"{shown(version)}, but requirements.lock has {ray}"
        yield Finding("ray-version", f"{_CLUSTER}.rayVersion", wrong, ray)
    if mapping(cluster.get("authOptions")).get("mode") != "token":
        wrong = "token authentication is off: whoever reaches the head can run code"
        yield Finding("token-missing", f"{_CLUSTER}.authOptions.mode", wrong, "mode: token")
    if cluster.get("enableInTreeAutoscaling") is not True:
        wrong = "the cluster would not follow the load"
        yield Finding("no-autoscaler", f"{_CLUSTER}.enableInTreeAutoscaling", wrong, "true")
    idle = whole(mapping(cluster.get("autoscalerOptions")).get("idleTimeoutSeconds"))
    if idle is None or idle <= 0:
        place = f"{_CLUSTER}.autoscalerOptions.idleTimeoutSeconds"
        yield Finding("idle-timeout", place, "not given" if idle is None else f"{idle} s", "seconds above 0, as 300")
    head, place = mapping(cluster.get("headGroupSpec")), f"{_CLUSTER}.headGroupSpec"
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        wrong = f"{shown(head['serviceType'])} opens the dashboard beyond Kubernetes"
        yield Finding(
            "dashboard-open", f"{place}.serviceType", wrong, "ClusterIP, and kubectl port-forward to look at it"
        )
    if head.get("enableIngress"):
        yield Finding("dashboard-open", f"{place}.enableIngress", "an ingress opens the dashboard", "false")


def _groups(cluster: dict[str, Any]) -> Iterator[Finding]:
    groups = [mapping(group) for group in sequence(cluster.get("workerGroupSpecs"))]
    if not groups:
        yield Finding("no-workers", f"{_CLUSTER}.workerGroupSpecs", "no group: nothing could run", "a worker group")
    names: set[str] = set()
    for index, group in enumerate(groups):
        place = f"{_CLUSTER}.workerGroupSpecs[{index}]"
        name = text(group.get("groupName"))
        if not name or name in names:
            wrong = f"{shown(name)} stands twice" if name else "not given"
            yield Finding("group-name", f"{place}.groupName", wrong, "a name of its own")
        names.add(name)
        yield from _replicas(group, place)
        idle = group.get("idleTimeoutSeconds")
        if idle is not None and (whole(idle) or 0) <= 0:
            yield Finding("idle-timeout", f"{place}.idleTimeoutSeconds", f"{shown(idle)} s", "seconds above 0")
    spot = [index for index, group in enumerate(groups) if _is_spot(group)]
    firm = [group for group in groups if not _is_spot(group) and (whole(group.get("maxReplicas")) or 0) > 0]
    if spot and not firm:
        wrong = "no on-demand group that may grow: without spot capacity tasks wait for ever"
        place = f"{_CLUSTER}.workerGroupSpecs[{spot[0]}]"
        yield Finding("spot-without-on-demand", place, wrong, "a group of the same size without spot")


def _replicas(group: dict[str, Any], place: str) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    for key in ("minReplicas", "replicas", "maxReplicas"):
        count = whole(group.get(key))
        if count is None:
            said = "not given" if group.get(key) is None else f"{shown(group[key])} is no whole number"
            yield Finding("replicas-missing", f"{place}.{key}", said, "a whole number")
        elif count < 0:
            yield Finding("negative-count", f"{place}.{key}", f"{count} pods", "0 or more")
        else:
            counts[key] = count
    if len(counts) == 3 and not counts["minReplicas"] <= counts["replicas"] <= counts["maxReplicas"]:
        said = f"{counts['minReplicas']} <= {counts['replicas']} <= {counts['maxReplicas']} does not hold"
        yield Finding("replicas-order", f"{place}.replicas", said, "minReplicas <= replicas <= maxReplicas")


def _is_spot(group: dict[str, Any]) -> bool:
    selector = mapping(mapping(mapping(group.get("template")).get("spec")).get("nodeSelector"))
    said = [mapping(group.get("labels")).get("ray.io/market-type"), *selector.values()]
    return any(text(value).lower() == "spot" for value in said)
