"""Every mistake in a cluster file has its named finding; nothing that YAML can hold makes the check fail."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from typer import Typer
from typer.testing import CliRunner

from cluster import check_yaml
from cluster.check_yaml import check_document, check_file
from cluster.checks.commands import docker_environment, ray_starts
from cluster.checks.versions import check_image, locked_ray

ROOT = Path(__file__).parents[2]
RAY = locked_ray(ROOT / "requirements.lock")
EC2, LOCAL = ROOT / "ray-cluster.yaml", ROOT / "ray-cluster.local.yaml"
KUBERAY, SERVE = ROOT / "cluster/manifests/rayservice.yaml", ROOT / "cluster/manifests/serve.yaml"
FILES = [EC2, LOCAL, KUBERAY, SERVE]

Mistake = Callable[[dict[str, Any]], None]


def load(path: Path) -> dict[str, Any]:
    # Through JSON: aliases become copies, so that a mistake is made in one place only.
    document: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(path.read_text("utf-8"))))
    return document


DOCUMENTS = {path: load(path) for path in FILES}


def put(*place: Any) -> Mistake:
    """The last of ``place`` is written where the others lead."""
    *way, key, value = place

    def mistake(document: dict[str, Any]) -> None:
        target: Any = document
        for part in way:
            target = target[part]
        target[key] = value

    return mistake


def drop(*place: Any) -> Mistake:
    *way, key = place

    def mistake(document: dict[str, Any]) -> None:
        target: Any = document
        for part in way:
            target = target[part]
        del target[key]

    return mistake


def swap(place: str, old: str, new: str) -> Mistake:
    """In a list of texts, every ``old`` becomes ``new``."""

    def mistake(document: dict[str, Any]) -> None:
        target: Any = document
        *way, last = place.split(".")
        for part in way:
            target = target[part]
        assert any(old in line for line in target[last])
        target[last] = [line.replace(old, new) for line in target[last]]

    return mistake


def codes(document: dict[str, Any]) -> set[str]:
    return {finding.code for finding in check_document(document, RAY) if finding.severity == "error"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_our_files_have_no_errors(path: Path) -> None:
    assert [finding for finding in check_file(path, RAY) if finding.severity == "error"] == []


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


BAD_TEXTS = [
    ("", "empty"),
    ("# only a comment\n", "empty"),
    ("- a\n- b\n", "not-mapping"),
    ("just text", "not-mapping"),
    ("a: [1, 2", "not-yaml"),
    ("a:\n\t- tab", "not-yaml"),
    ("a: 1\n---\nb: 2\n", "not-yaml"),
    ("a: !!python/object/apply:os.system [id]", "not-yaml"),
    ("a: *nowhere", "not-yaml"),
    ("a: &a [*a]", "not-yaml"),
    ("a: 1\na: 2", "key-twice"),
    ("? [a, b]\n: c", "not-yaml"),
    ("on: 1", "key-not-text"),
    ("1: a", "key-not-text"),
    ("a: 2026-01-31", "not-plain"),
    ("a: 2026-13-45", "not-yaml"),
    ("a: .nan", "not-plain"),
    ("a: !!set {b}", "not-plain"),
    ("a: !!binary aGk=", "not-plain"),
    ("a: " + "[" * 1000, "too-deep"),
    ("a: b", "unknown-kind"),
    ("a: '" + "x" * (256 * 1024) + "'", "too-large"),
    (
        "\n".join(["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]),
        "too-large",
    ),
    (
        "\n".join(
            ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 30)]
        ),
        "too-large",
    ),
]


@pytest.mark.parametrize(("content", "code"), BAD_TEXTS, ids=lambda value: str(value)[:24])
def test_bad_yaml_is_told(tmp_path: Path, content: str, code: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content, "utf-8")
    assert code in {finding.code for finding in check_file(path, RAY)}


def test_what_is_no_text_or_no_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"a: \xff\xfe")
    assert [finding.code for finding in check_file(path, RAY)] == ["not-yaml"]
    assert [finding.code for finding in check_file(tmp_path / "none.yaml", RAY)] == ["unreadable"]
    assert [finding.code for finding in check_file(tmp_path, RAY)] == ["unreadable"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in [(*way, key), *places(item, (*way, key))]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_in_a_file_breaks_the_check(path: Path, data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[path])
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(places(document)))
        (drop(*way) if data.draw(st.booleans()) else put(*way, data.draw(PLAIN)))(document)
        if not document:
            break
    for finding in check_document(document, RAY):
        assert finding.code
        assert finding.wrong
        assert finding.write
        assert "\n" not in finding.wrong + finding.write


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.mktemp("any") / "any.yaml"
    path.write_text(content, "utf-8", errors="replace")
    assert check_file(path, RAY)


@pytest.mark.parametrize(
    ("tasks", "spot", "launched", "refused"),
    [
        pytest.param(0, 1.0, {"on-demand": 1}, 0, id="at rest, the services' node alone"),
        pytest.param(100, 1.0, {"on-demand": 1, "spot": 6}, 0, id="spot comes first"),
        pytest.param(100, 0.0, {"on-demand": 4, "spot": 3}, 0, id="on-demand where spot was refused"),
        pytest.param(1000, 1.0, {"on-demand": 4, "spot": 20}, 1000 - 24 * 16, id="never over the bound"),
    ],
)
def test_what_rays_autoscaler_makes_of_the_node_types(
    tasks: int, spot: float, launched: dict[str, int], refused: int
) -> None:
    config = AutoscalingConfig(prepare_config(yaml.safe_load(EC2.read_text("utf-8"))), skip_content_hash=True)
    # One CPU, and the memory that a model of 1 M facets is estimated at.
    task = ResourceRequestUtil.make({"CPU": 1, "memory": 250 * 2**20 + 190 * 10**6})
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_worker_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([task] * tasks),
        recoverable_resource_availabilities={"spot": spot},
    )
    reply = ResourceDemandScheduler().schedule(request)
    assert {launch.instance_type: launch.count for launch in reply.to_launch} == launched
    assert len(reply.infeasible_resource_requests) == refused


def test_both_serve_configurations_are_the_same() -> None:
    assert yaml.safe_load(DOCUMENTS[KUBERAY]["spec"]["serveConfigV2"]) == DOCUMENTS[SERVE]


def test_ray_starts_reads_environment_and_options() -> None:
    command = "set -a; . f && export A=1 B='two words'; C=3 /opt/ray start --head --port=7000 || true"
    starts, findings = ray_starts(["ray stop", command], "k")
    assert findings == []
    assert [(start.key, start.environment) for start in starts] == [("k[1]", {"A": "1", "B": "two words", "C": "3"})]
    assert starts[0].options["port"] == 7000
    starts, findings = ray_starts(["a && { setsid /v/bin/ray start --address=h:1 2>&1 > log & }"], "k")
    assert ([start.options["address"] for start in starts], findings) == (["h:1"], [])
    assert docker_environment(["-e A=1", "--env=B=2 --net=host", "--env C='3'", 5]) == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    "image",
    [
        f"facet:0.1.0-ray{RAY}-py311",
        f"localhost:5000/team/facet:1-ray{RAY}",
        f"rayproject/ray:{RAY}-py311",
        f"facet:1-ray{RAY}@sha256:{'a' * 64}",
    ],
)
def test_fixed_images_pass(image: str) -> None:
    assert list(check_image(image, "k", RAY)) == []


def run(*arguments: str) -> Any:
    app = Typer()
    app.command()(check_yaml.main)
    return CliRunner().invoke(app, list(arguments))


def test_command_line(tmp_path: Path) -> None:
    good = run(str(EC2), str(SERVE))
    assert good.exit_code == 0
    assert "2 files: 0 errors, 1 values to fill in" in good.output
    assert run("--ready", str(EC2)).exit_code == 1
    assert run("--ready", str(SERVE)).exit_code == 0
    bad = tmp_path / "bad.yaml"
    document = copy.deepcopy(DOCUMENTS[EC2]) | {"max_workers": -1}
    bad.write_text(yaml.safe_dump(document), "utf-8")
    result = run(str(bad))
    assert result.exit_code == 1
    line = next(line for line in result.output.splitlines() if "negative-count" in line)
    assert all(part in line for part in ("bad.yaml", "max_workers", "-1 workers", "0 or more"))


def test_command_line_usage(tmp_path: Path) -> None:
    assert run().exit_code == 2
    lock = tmp_path / "lock"
    assert run("--lock", str(lock), str(SERVE)).exit_code == 2
    lock.write_text("numpy==2.4\n", "utf-8")
    assert run("--lock", str(lock), str(SERVE)).exit_code == 2


def test_control_characters_stay_out_of_the_terminal(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text('provider: {type: aws}\n"\\e[31mred\\nkey": 1\n', "utf-8")
    result = run(str(bad))
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "?[31mred?key" in result.output
