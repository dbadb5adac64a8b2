"""Every mistake in a cluster file has its named finding."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.unit.cluster_files import DOCUMENTS, FILES, Mistake, codes, drop, put, swap

TYPES = "available_node_types"
EC2_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("negative cluster maximum", "negative-count", put("max_workers", -1)),
    ("no cluster maximum", "max-missing", drop("max_workers")),
    ("negative minimum of a type", "negative-count", put(TYPES, "spot", "min_workers", -1)),
    ("negative maximum of a type", "negative-count", put(TYPES, "spot", "max_workers", -1)),
    ("no maximum of a type", "max-missing", drop(TYPES, "spot", "max_workers")),
    ("minimum over maximum", "min-over-max", put(TYPES, "on-demand", "min_workers", 5)),
    ("cluster maximum below the minima", "max-below-sum", put("max_workers", 0)),
    ("a count that is text", "schema", put(TYPES, "spot", "max_workers", "20")),
    ("a count that is true", "schema", put("max_workers", True)),
    ("head takes tasks", "head-takes-tasks", put(TYPES, "head", "resources", {"CPU": 2})),
    ("head's CPUs not given", "head-takes-tasks", put(TYPES, "head", "resources", {})),
    ("head's start takes tasks", "head-takes-tasks", swap("head_start_ray_commands", "--num-cpus=0", "--num-cpus=2")),
    ("head's type as worker", "head-as-worker", put(TYPES, "head", "max_workers", 1)),
    (
        "head on spot",
        "head-on-spot",
        put(TYPES, "head", "node_config", "InstanceMarketOptions", {"MarketType": "spot"}),
    ),
    ("unknown head type", "head-unknown", put("head_node_type", "chief")),
    ("no head type", "head-unknown", drop("head_node_type")),
    ("no region", "region-missing", drop("provider", "region")),
    ("no such region", "region-name", put("provider", "region", "frankfurt")),
    ("a zone of another region", "zone-elsewhere", put("provider", "availability_zone", "us-west-2a")),
    ("unknown provider", "provider", put("provider", "type", "gcp")),
    ("provider is a text", "schema", put("provider", "aws")),
    ("dashboard open", "dashboard-open", swap("head_start_ray_commands", "=127.0.0.1", "=0.0.0.0")),
    ("dashboard open to IPv6", "dashboard-open", swap("head_start_ray_commands", "=127.0.0.1", "=::")),
    ("no token mode", "token-missing", swap("docker.run_options", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled")),
    ("no docker environment", "token-missing", drop("docker", "run_options")),
    ("token in the file", "token-in-file", put("docker", "run_options", ["-e RAY_AUTH_TOKEN=0123456789abcdef"])),
    ("token not mounted", "token-not-mounted", drop("file_mounts")),
    ("spot alone", "spot-without-on-demand", drop(TYPES, "on-demand")),
    ("on-demand may not grow", "spot-without-on-demand", put(TYPES, "on-demand", "max_workers", 0)),
    ("on-demand too small", "spot-without-on-demand", put(TYPES, "on-demand", "resources", "CPU", 8)),
    (
        "no such market",
        "market-type",
        put(TYPES, "spot", "node_config", "InstanceMarketOptions", {"MarketType": "cheap"}),
    ),
    ("no instance type", "instance-type", drop(TYPES, "spot", "node_config", "InstanceType")),
    ("no workers", "no-workers", put(TYPES, {"head": {"resources": {"CPU": 0}, "node_config": {}}})),
    ("image floats", "image-unpinned", put("docker", "image", "registry.example.com/facet:latest")),
    ("image without tag", "image-unpinned", put("docker", "image", "registry.example.com:5000/facet")),
    ("image of another Ray", "image-ray-version", put("docker", "image", "facet:0.1.0-ray2.59.0-py311")),
    ("image that hides its Ray", "image-ray-unknown", put("docker", "image", "facet:0.1.0")),
    ("image is no name", "image-name", put("docker", "image", "a b")),
    ("a type's own image floats", "image-unpinned", put(TYPES, "spot", "docker", {"worker_image": "facet:latest"})),
    ("no image and nothing pinned", "ray-unpinned", drop("docker")),
    ("idle time zero", "idle-timeout", put("idle_timeout_minutes", 0)),
    ("idle time negative", "idle-timeout", put("idle_timeout_minutes", -5)),
    ("idle time not given", "idle-timeout", drop("idle_timeout_minutes")),
    ("a type's idle time zero", "idle-timeout", put(TYPES, "spot", "idle_timeout_s", 0)),
    ("unknown key at the top", "unknown-key", put("idle_timeout_minute", 5)),
    ("unknown key in a type", "unknown-key", put(TYPES, "spot", "max_worker", 5)),
    ("set-up left to Ray", "ray-default", drop("setup_commands")),
    ("start left to Ray", "ray-default", drop("head_start_ray_commands")),
    ("no ray start", "ray-start-missing", put("worker_start_ray_commands", ["ray stop"])),
    ("two ray starts", "ray-start-missing", put("worker_start_ray_commands", ["ray start --address=a:1"] * 2)),
    (
        "ray start with an unknown option",
        "ray-start-option",
        swap("head_start_ray_commands", "--num-cpus", "--num-cpu"),
    ),
    (
        "ray start with a wrong number",
        "ray-start-option",
        swap("head_start_ray_commands", "--num-cpus=0", "--num-cpus=no"),
    ),
    ("unclosed quote", "shell-syntax", swap("head_start_ray_commands", "ray start", "ray start '")),
    ("head does not lead", "ray-start-role", swap("head_start_ray_commands", "--head", "--address=a:6379")),
    ("worker joins nobody", "ray-start-role", swap("worker_start_ray_commands", "--address=$RAY_HEAD_IP:6379", "")),
    (
        "no autoscaler",
        "no-autoscaler",
        swap("head_start_ray_commands", "--autoscaling-config=~/ray_bootstrap_config.yaml", ""),
    ),
    ("shared memory too small", "shm-too-small", put("docker", "worker_run_options", ["--shm-size=512m"])),
    ("container without a name", "ray-refuses", drop("docker", "container_name")),
]

LOCAL_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("no head", "host-address", drop("provider", "head_ip")),
    ("an address that is none", "host-address", put("provider", "head_ip", "10.0.0.300")),
    ("a worker that is a number", "host-address", put("provider", "worker_ips", [10])),
    ("no worker", "no-workers", put("provider", "worker_ips", [])),
    ("a worker twice", "host-twice", put("provider", "worker_ips", ["10.0.0.1", "10.0.0.1"])),
    ("the head as worker", "host-twice", put("provider", "worker_ips", ["192.0.2.10"])),
    ("more workers than machines", "more-than-machines", put("max_workers", 4)),
    ("minimum over maximum", "min-over-max", lambda config: config.update(min_workers=2, max_workers=1)),
    ("negative maximum", "negative-count", put("max_workers", -1)),
    ("negative minimum", "negative-count", put("min_workers", -1)),
    ("a minimum that is text", "schema", put("min_workers", "1")),
    ("head takes tasks", "head-takes-tasks", swap("head_start_ray_commands", "--num-cpus=0", "")),
    ("no token on workers", "token-missing", swap("worker_start_ray_commands", "RAY_AUTH_MODE=token", "")),
    (
        "token in the file",
        "token-in-file",
        swap("worker_start_ray_commands", "export ", "export RAY_AUTH_TOKEN=secret "),
    ),
    ("token not mounted", "token-not-mounted", drop("file_mounts", "~/facet/cluster")),
    ("Ray not pinned", "ray-unpinned", put("setup_commands", ["pip install -U ray"])),
    ("no user", "ssh-user", drop("auth", "ssh_user")),
    ("node types, which local has not", "ray-refuses", put(TYPES, {"a": {"resources": {}, "node_config": {}}})),
]

CLUSTER = ("spec", "rayClusterConfig")
GROUP = (*CLUSTER, "workerGroupSpecs", 0)
CONTAINER = ("template", "spec", "containers", 0)
KUBERAY_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("another kind", "kind", put("kind", "RayCluster")),
    ("another API", "api-version", put("apiVersion", "ray.io/v1alpha1")),
    ("no name", "name-missing", drop("metadata")),
    ("another Ray", "ray-version", put(*CLUSTER, "rayVersion", "2.59.0")),
    ("no Ray version", "ray-version", drop(*CLUSTER, "rayVersion")),
    ("head takes tasks", "head-takes-tasks", put(*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus", "2")),
    ("head's CPUs not given", "head-takes-tasks", drop(*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus")),
    ("head's CPUs by resources", "head-takes-tasks", put(*CLUSTER, "headGroupSpec", "resources", {"CPU": "2"})),
    ("a parameter that is no text", "param-not-text", put(*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus", 0)),
    ("an unknown parameter", "ray-start-option", put(*GROUP, "rayStartParams", "num-cpu", "2")),
    ("fewer than the minimum", "replicas-order", put(*GROUP, "replicas", 0)),
    ("more than the maximum", "replicas-order", put(*GROUP, "replicas", 9)),
    ("minimum over maximum", "replicas-order", put(*GROUP, "minReplicas", 9)),
    ("negative replicas", "negative-count", put(*GROUP, "minReplicas", -1)),
    ("no maximum", "replicas-missing", drop(*GROUP, "maxReplicas")),
    ("replicas as text", "replicas-missing", put(*GROUP, "replicas", "1")),
    ("no memory asked for", "requests-missing", drop(*GROUP, *CONTAINER, "resources", "requests", "memory")),
    ("no resources at all", "requests-missing", drop(*GROUP, *CONTAINER, "resources")),
    ("an amount that is none", "requests-missing", put(*GROUP, *CONTAINER, "resources", "requests", "cpu", "two")),
    ("image floats", "image-unpinned", put(*GROUP, *CONTAINER, "image", "facet:latest")),
    ("image of another Ray", "image-ray-version", put(*GROUP, *CONTAINER, "image", "facet:1-ray2.59.0")),
    ("no image", "image-name", drop(*GROUP, *CONTAINER, "image")),
    ("no container", "container-missing", put(*GROUP, "template", "spec", "containers", [])),
    ("no authentication", "token-missing", drop(*CLUSTER, "authOptions")),
    ("authentication off", "token-missing", put(*CLUSTER, "authOptions", "mode", "disabled")),
    ("token in the file", "token-in-file", put(*GROUP, *CONTAINER, "env", [{"name": "RAY_AUTH_TOKEN", "value": "x"}])),
    ("dashboard open", "dashboard-open", put(*CLUSTER, "headGroupSpec", "serviceType", "LoadBalancer")),
    ("dashboard by ingress", "dashboard-open", put(*CLUSTER, "headGroupSpec", "enableIngress", True)),
    ("no autoscaler", "no-autoscaler", drop(*CLUSTER, "enableInTreeAutoscaling")),
    ("idle time zero", "idle-timeout", put(*CLUSTER, "autoscalerOptions", "idleTimeoutSeconds", 0)),
    ("a group's idle time zero", "idle-timeout", put(*GROUP, "idleTimeoutSeconds", 0)),
    ("spot alone", "spot-without-on-demand", drop(*GROUP)),
    ("no group", "no-workers", put(*CLUSTER, "workerGroupSpecs", [])),
    ("two groups of one name", "group-name", put(*GROUP, "groupName", "spot")),
    ("unknown key", "unknown-key", put(*CLUSTER, "enableInTreeAutoscale", True)),
    ("unknown key of a group", "unknown-key", put(*GROUP, "maxReplica", 3)),
    ("a list for a mapping", "schema", put(*CLUSTER, "headGroupSpec", [])),
    ("no Serve configuration", "serve-config", drop("spec", "serveConfigV2")),
    ("Serve configuration not as text", "serve-config", put("spec", "serveConfigV2", {"applications": []})),
    ("Serve configuration not YAML", "not-yaml", put("spec", "serveConfigV2", "applications: [")),
    ("Serve configuration without application", "serve-empty", put("spec", "serveConfigV2", "applications: []")),
    (
        "Serve configuration with a wrong path",
        "serve-schema",
        put("spec", "serveConfigV2", "applications: [{import_path: a}]"),
    ),
]

SERVE_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("no import path", "serve-schema", drop("applications", 0, "import_path")),
    (
        "two applications of one name",
        "serve-schema",
        lambda config: config["applications"].append(config["applications"][0]),
    ),
    ("a port that is text", "serve-schema", put("http_options", "port", "web")),
    ("unknown key at the top", "unknown-key", put("http_option", {})),
    ("unknown key of HTTP", "unknown-key", put("http_options", "timeout", 5)),
    ("unknown key of an application", "unknown-key", put("applications", 0, "import", "a.b:c")),
    (
        "unknown key of a deployment",
        "unknown-key",
        put("applications", 0, "deployments", [{"name": "a", "replicas": 2}]),
    ),
    ("negative replicas", "serve-schema", put("applications", 0, "deployments", [{"name": "a", "num_replicas": -1}])),
    ("applications is a text", "serve-schema", put("applications", "facet")),
]

MISTAKES = [
    pytest.param(path, code, mistake, id=f"{path.name}: {name}")
    for path, mistakes in zip(FILES, (EC2_MISTAKES, LOCAL_MISTAKES, KUBERAY_MISTAKES, SERVE_MISTAKES), strict=True)
    for name, code, mistake in mistakes
]


@pytest.mark.parametrize(("path", "code", "mistake"), MISTAKES)
def test_each_mistake_has_its_finding(path: Path, code: str, mistake: Mistake) -> None:
    document = copy.deepcopy(DOCUMENTS[path])
    mistake(document)
    assert code in codes(document)
