"""The check of cluster files: ours pass, no YAML makes it crash, its command line reports findings."""

from __future__ import annotations

import copy
import subprocess
import sys
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
from typer.testing import CliRunner

from cluster import check_yaml
from cluster.check_yaml import check_document, check_file
from cluster.checks.ray_start import docker_environment, ray_starts
from cluster.checks.versions import check_image
from pricing_engine.cli.errors import WrongUsage
from tests.support.cluster_files import DOCUMENTS, EC2, FILES, KUBERAY, RAY, SERVE, remove, set_value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_our_files_have_no_errors(path: Path) -> None:
    assert [finding for finding in check_file(path, RAY) if finding.severity == "error"] == []


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
def test_bad_yaml_has_a_finding(tmp_path: Path, content: str, code: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content, "utf-8")
    assert code in {finding.code for finding in check_file(path, RAY)}


def test_binary_and_missing_files_have_a_finding(tmp_path: Path) -> None:
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


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every value inside a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in [(*path, key), *paths(item, (*path, key))]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_check_survives_any_change_of_a_file(path: Path, data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[path])
    for _ in range(data.draw(st.integers(1, 3))):
        target = data.draw(st.sampled_from(paths(document)))
        (remove(*target) if data.draw(st.booleans()) else set_value(*target, data.draw(PLAIN)))(document)
        if not document:
            break
    for finding in check_document(document, RAY):
        assert finding.code
        assert finding.problem
        assert finding.fix
        assert "\n" not in finding.problem + finding.fix


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_the_reader_survives_any_text(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.mktemp("any") / "any.yaml"
    path.write_text(content, "utf-8", errors="replace")
    assert check_file(path, RAY)


@pytest.mark.parametrize(
    ("tasks", "spot", "launched", "refused"),
    [
        pytest.param(0, 1.0, {"on-demand": 1}, 0, id="idle: only the services' node"),
        pytest.param(100, 1.0, {"on-demand": 1, "spot": 6}, 0, id="spot first"),
        pytest.param(100, 0.0, {"on-demand": 4, "spot": 3}, 0, id="on-demand if spot was refused"),
        pytest.param(1000, 1.0, {"on-demand": 4, "spot": 20}, 1000 - 24 * 16, id="never over the limit"),
    ],
)
def test_rays_autoscaler_launches_the_expected_nodes(
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
    return CliRunner().invoke(check_yaml.build(), list(arguments))


def test_command_line(tmp_path: Path) -> None:
    good = run(str(EC2), str(SERVE))
    assert good.exit_code == 0
    assert "2 files: 0 errors, 1 placeholders to replace" in good.output
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
    assert isinstance(run("--lock", str(lock), str(SERVE)).exception, WrongUsage)
    lock.write_text("numpy==2.4\n", "utf-8")
    command = [sys.executable, "-m", "cluster.check_yaml", "--lock", str(lock), str(SERVE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("check_yaml: --lock: ")
    assert done.stderr.count("\n") == 1


def test_control_characters_stay_out_of_the_terminal(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text('provider: {type: aws}\n"\\e[31mred\\nkey": 1\n', "utf-8")
    result = run(str(bad))
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "?[31mred?key" in result.output
