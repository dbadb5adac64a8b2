"""Every mistake in a cluster file has its named finding."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.support.cluster_files import DOCUMENTS, FILES, Mistake, codes, remove, replace_text, set_value

TYPES = "available_node_types"
EC2_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("negative cluster maximum", "negative-count", set_value("max_workers", -1)),
    ("no cluster maximum", "max-missing", remove("max_workers")),
    ("negative minimum of a type", "negative-count", set_value(TYPES, "spot", "min_workers", -1)),
    ("negative maximum of a type", "negative-count", set_value(TYPES, "spot", "max_workers", -1)),
    ("no maximum of a type", "max-missing", remove(TYPES, "spot", "max_workers")),
    ("minimum over maximum", "min-over-max", set_value(TYPES, "on-demand", "min_workers", 5)),
    ("cluster maximum below the minima", "max-below-sum", set_value("max_workers", 0)),
    ("a count that is text", "schema", set_value(TYPES, "spot", "max_workers", "20")),
    ("a count that is true", "schema", set_value("max_workers", True)),
    ("head takes tasks", "head-takes-tasks", set_value(TYPES, "head", "resources", {"CPU": 2})),
    ("head's CPUs not given", "head-takes-tasks", set_value(TYPES, "head", "resources", {})),
    (
        "head's start takes tasks",
        "head-takes-tasks",
        replace_text("head_start_ray_commands", "--num-cpus=0", "--num-cpus=2"),
    ),
    ("head's type as worker", "head-as-worker", set_value(TYPES, "head", "max_workers", 1)),
    (
        "head on spot",
        "head-on-spot",
        set_value(TYPES, "head", "node_config", "InstanceMarketOptions", {"MarketType": "spot"}),
    ),
    ("unknown head type", "head-unknown", set_value("head_node_type", "chief")),
    ("no head type", "head-unknown", remove("head_node_type")),
    ("no region", "region-missing", remove("provider", "region")),
    ("no such region", "region-name", set_value("provider", "region", "frankfurt")),
    ("a zone of another region", "zone-elsewhere", set_value("provider", "availability_zone", "us-west-2a")),
    ("unknown provider", "provider", set_value("provider", "type", "gcp")),
    ("provider is a text", "schema", set_value("provider", "aws")),
    ("dashboard open", "dashboard-open", replace_text("head_start_ray_commands", "=127.0.0.1", "=0.0.0.0")),
    ("dashboard open to IPv6", "dashboard-open", replace_text("head_start_ray_commands", "=127.0.0.1", "=::")),
    (
        "no token mode",
        "token-missing",
        replace_text("docker.run_options", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
    ),
    ("no docker environment", "token-missing", remove("docker", "run_options")),
    ("token in the file", "token-in-file", set_value("docker", "run_options", ["-e RAY_AUTH_TOKEN=0123456789abcdef"])),
    ("token not mounted", "token-not-mounted", remove("file_mounts")),
    ("spot alone", "spot-without-on-demand", remove(TYPES, "on-demand")),
    ("on-demand may not grow", "spot-without-on-demand", set_value(TYPES, "on-demand", "max_workers", 0)),
    ("on-demand too small", "spot-without-on-demand", set_value(TYPES, "on-demand", "resources", "CPU", 8)),
    (
        "no such market",
        "market-type",
        set_value(TYPES, "spot", "node_config", "InstanceMarketOptions", {"MarketType": "cheap"}),
    ),
    ("no instance type", "instance-type", remove(TYPES, "spot", "node_config", "InstanceType")),
    ("no workers", "no-workers", set_value(TYPES, {"head": {"resources": {"CPU": 0}, "node_config": {}}})),
    ("image floats", "image-unpinned", set_value("docker", "image", "registry.example.com/facet:latest")),
    ("image without tag", "image-unpinned", set_value("docker", "image", "registry.example.com:5000/facet")),
    ("image of another Ray", "image-ray-version", set_value("docker", "image", "facet:0.1.0-ray2.59.0-py311")),
    ("image that hides its Ray", "image-ray-unknown", set_value("docker", "image", "facet:0.1.0")),
    ("image is no name", "image-name", set_value("docker", "image", "a b")),
    (
        "a type's own image floats",
        "image-unpinned",
        set_value(TYPES, "spot", "docker", {"worker_image": "facet:latest"}),
    ),
    ("no image and nothing pinned", "ray-unpinned", remove("docker")),
    ("idle time zero", "idle-timeout", set_value("idle_timeout_minutes", 0)),
    ("idle time negative", "idle-timeout", set_value("idle_timeout_minutes", -5)),
    ("idle time not given", "idle-timeout", remove("idle_timeout_minutes")),
    ("a type's idle time zero", "idle-timeout", set_value(TYPES, "spot", "idle_timeout_s", 0)),
    ("unknown key at the top", "unknown-key", set_value("idle_timeout_minute", 5)),
    ("unknown key in a type", "unknown-key", set_value(TYPES, "spot", "max_worker", 5)),
    ("set-up left to Ray", "ray-default", remove("setup_commands")),
    ("start left to Ray", "ray-default", remove("head_start_ray_commands")),
    ("no ray start", "ray-start-missing", set_value("worker_start_ray_commands", ["ray stop"])),
    ("two ray starts", "ray-start-missing", set_value("worker_start_ray_commands", ["ray start --address=a:1"] * 2)),
    (
        "ray start with an unknown option",
        "ray-start-option",
        replace_text("head_start_ray_commands", "--num-cpus", "--num-cpu"),
    ),
    (
        "ray start with a wrong number",
        "ray-start-option",
        replace_text("head_start_ray_commands", "--num-cpus=0", "--num-cpus=no"),
    ),
    ("unclosed quote", "shell-syntax", replace_text("head_start_ray_commands", "ray start", "ray start '")),
    ("head does not lead", "ray-start-role", replace_text("head_start_ray_commands", "--head", "--address=a:6379")),
    (
        "worker joins no head",
        "ray-start-role",
        replace_text("worker_start_ray_commands", "--address=$RAY_HEAD_IP:6379", ""),
    ),
    (
        "no autoscaler",
        "no-autoscaler",
        replace_text("head_start_ray_commands", "--autoscaling-config=~/ray_bootstrap_config.yaml", ""),
    ),
    ("shared memory too small", "shm-too-small", set_value("docker", "worker_run_options", ["--shm-size=512m"])),
    ("container without a name", "ray-refuses", remove("docker", "container_name")),
]

LOCAL_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("no head", "host-address", remove("provider", "head_ip")),
    ("an address that is none", "host-address", set_value("provider", "head_ip", "10.0.0.300")),
    ("a worker that is a number", "host-address", set_value("provider", "worker_ips", [10])),
    ("no worker", "no-workers", set_value("provider", "worker_ips", [])),
    ("a worker twice", "host-twice", set_value("provider", "worker_ips", ["10.0.0.1", "10.0.0.1"])),
    ("the head as worker", "host-twice", set_value("provider", "worker_ips", ["192.0.2.10"])),
    ("more workers than machines", "more-than-machines", set_value("max_workers", 4)),
    ("minimum over maximum", "min-over-max", lambda config: config.update(min_workers=2, max_workers=1)),
    ("negative maximum", "negative-count", set_value("max_workers", -1)),
    ("negative minimum", "negative-count", set_value("min_workers", -1)),
    ("a minimum that is text", "schema", set_value("min_workers", "1")),
    ("head takes tasks", "head-takes-tasks", replace_text("head_start_ray_commands", "--num-cpus=0", "")),
    ("no token on workers", "token-missing", replace_text("worker_start_ray_commands", "RAY_AUTH_MODE=token", "")),
    (
        "token in the file",
        "token-in-file",
        replace_text("worker_start_ray_commands", "export ", "export RAY_AUTH_TOKEN=secret "),
    ),
    ("token not mounted", "token-not-mounted", remove("file_mounts", "~/facet/cluster")),
    ("Ray not pinned", "ray-unpinned", set_value("setup_commands", ["pip install -U ray"])),
    ("no user", "ssh-user", remove("auth", "ssh_user")),
    ("node types, which local has not", "ray-refuses", set_value(TYPES, {"a": {"resources": {}, "node_config": {}}})),
]

CLUSTER = ("spec", "rayClusterConfig")
GROUP = (*CLUSTER, "workerGroupSpecs", 0)
CONTAINER = ("template", "spec", "containers", 0)
KUBERAY_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("another kind", "kind", set_value("kind", "RayCluster")),
    ("another API", "api-version", set_value("apiVersion", "ray.io/v1alpha1")),
    ("no name", "name-missing", remove("metadata")),
    ("another Ray", "ray-version", set_value(*CLUSTER, "rayVersion", "2.59.0")),
    ("no Ray version", "ray-version", remove(*CLUSTER, "rayVersion")),
    ("head takes tasks", "head-takes-tasks", set_value(*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus", "2")),
    ("head's CPUs not given", "head-takes-tasks", remove(*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus")),
    ("head's CPUs by resources", "head-takes-tasks", set_value(*CLUSTER, "headGroupSpec", "resources", {"CPU": "2"})),
    (
        "a parameter that is no text",
        "param-not-text",
        set_value(*CLUSTER, "headGroupSpec", "rayStartParams", "num-cpus", 0),
    ),
    ("an unknown parameter", "ray-start-option", set_value(*GROUP, "rayStartParams", "num-cpu", "2")),
    ("fewer than the minimum", "replicas-order", set_value(*GROUP, "replicas", 0)),
    ("more than the maximum", "replicas-order", set_value(*GROUP, "replicas", 9)),
    ("minimum over maximum", "replicas-order", set_value(*GROUP, "minReplicas", 9)),
    ("negative replicas", "negative-count", set_value(*GROUP, "minReplicas", -1)),
    ("no maximum", "replicas-missing", remove(*GROUP, "maxReplicas")),
    ("replicas as text", "replicas-missing", set_value(*GROUP, "replicas", "1")),
    ("no memory asked for", "requests-missing", remove(*GROUP, *CONTAINER, "resources", "requests", "memory")),
    ("no resources at all", "requests-missing", remove(*GROUP, *CONTAINER, "resources")),
    (
        "an amount that is none",
        "requests-missing",
        set_value(*GROUP, *CONTAINER, "resources", "requests", "cpu", "two"),
    ),
    ("image floats", "image-unpinned", set_value(*GROUP, *CONTAINER, "image", "facet:latest")),
    ("image of another Ray", "image-ray-version", set_value(*GROUP, *CONTAINER, "image", "facet:1-ray2.59.0")),
    ("no image", "image-name", remove(*GROUP, *CONTAINER, "image")),
    ("no container", "container-missing", set_value(*GROUP, "template", "spec", "containers", [])),
    ("no authentication", "token-missing", remove(*CLUSTER, "authOptions")),
    ("authentication off", "token-missing", set_value(*CLUSTER, "authOptions", "mode", "disabled")),
    (
        "token in the file",
        "token-in-file",
        set_value(*GROUP, *CONTAINER, "env", [{"name": "RAY_AUTH_TOKEN", "value": "x"}]),
    ),
    ("dashboard open", "dashboard-open", set_value(*CLUSTER, "headGroupSpec", "serviceType", "LoadBalancer")),
    ("dashboard by ingress", "dashboard-open", set_value(*CLUSTER, "headGroupSpec", "enableIngress", True)),
    ("no autoscaler", "no-autoscaler", remove(*CLUSTER, "enableInTreeAutoscaling")),
    ("idle time zero", "idle-timeout", set_value(*CLUSTER, "autoscalerOptions", "idleTimeoutSeconds", 0)),
    ("a group's idle time zero", "idle-timeout", set_value(*GROUP, "idleTimeoutSeconds", 0)),
    ("spot alone", "spot-without-on-demand", remove(*GROUP)),
    ("no group", "no-workers", set_value(*CLUSTER, "workerGroupSpecs", [])),
    ("two groups of one name", "group-name", set_value(*GROUP, "groupName", "spot")),
    ("unknown key", "unknown-key", set_value(*CLUSTER, "enableInTreeAutoscale", True)),
    ("unknown key of a group", "unknown-key", set_value(*GROUP, "maxReplica", 3)),
    ("a list for a mapping", "schema", set_value(*CLUSTER, "headGroupSpec", [])),
    ("no Serve configuration", "serve-config", remove("spec", "serveConfigV2")),
    ("Serve configuration not as text", "serve-config", set_value("spec", "serveConfigV2", {"applications": []})),
    ("Serve configuration not YAML", "not-yaml", set_value("spec", "serveConfigV2", "applications: [")),
    ("Serve configuration without application", "serve-empty", set_value("spec", "serveConfigV2", "applications: []")),
    (
        "Serve configuration with a wrong path",
        "serve-schema",
        set_value("spec", "serveConfigV2", "applications: [{import_path: a}]"),
    ),
]

SERVE_MISTAKES: list[tuple[str, str, Mistake]] = [
    ("no import path", "serve-schema", remove("applications", 0, "import_path")),
    (
        "two applications of one name",
        "serve-schema",
        lambda config: config["applications"].append(config["applications"][0]),
    ),
    ("a port that is text", "serve-schema", set_value("http_options", "port", "web")),
    ("unknown key at the top", "unknown-key", set_value("http_option", {})),
    ("unknown key of HTTP", "unknown-key", set_value("http_options", "timeout", 5)),
    ("unknown key of an application", "unknown-key", set_value("applications", 0, "import", "a.b:c")),
    (
        "unknown key of a deployment",
        "unknown-key",
        set_value("applications", 0, "deployments", [{"name": "a", "replicas": 2}]),
    ),
    (
        "negative replicas",
        "serve-schema",
        set_value("applications", 0, "deployments", [{"name": "a", "num_replicas": -1}]),
    ),
    ("applications is a text", "serve-schema", set_value("applications", "facet")),
]

MISTAKES = [
    pytest.param(path, code, mistake, id=f"{path.name}: {name}")
    for path, mistakes in zip(FILES, (EC2_MISTAKES, LOCAL_MISTAKES, KUBERAY_MISTAKES, SERVE_MISTAKES), strict=True)
    for name, code, mistake in mistakes
]


@pytest.mark.parametrize(("path", "code", "mistake"), MISTAKES)
def test_each_mistake_has_its_finding(path: Path, code: str, mistake: Mistake) -> None:
    document = copy.deepcopy(DOCUMENTS[path])
    assert code not in codes(document)
    mistake(document)
    assert code in codes(document)
