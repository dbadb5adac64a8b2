"""Rules for a ``ray up`` file (providers aws and local): Ray's own, and those that Ray misses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.checks import ray_schema
from cluster.checks.finding import Finding, as_int, as_list, as_mapping, as_number, as_text, one_line
from cluster.checks.placeholders import placeholders
from cluster.checks.providers import check_aws, check_local
from cluster.checks.ray_up_commands import check_starts
from cluster.checks.versions import check_image


def check_ray_up(config: dict[str, Any], ray: str) -> list[Finding]:
    """Return all findings of a ``ray up`` file; ``ray`` is the version that requirements.lock pins."""
    findings: list[Finding] = []
    provider = as_mapping(config.get("provider")).get("type")
    if provider == "aws":
        findings += [*_counts(config), *_head_type(config), *check_aws(config)]
    elif provider == "local":
        findings += check_local(config)
    else:
        findings.append(
            Finding("provider", "provider.type", f"{one_line(provider)} is not checked here", "aws or local")
        )
    findings += [*_idle(config), *_images(config, ray), *check_starts(config, ray)]
    reported = {finding.key for finding in findings}
    findings += [finding for finding in ray_schema.check_schema(config) if finding.key not in reported]
    if not findings:
        findings += ray_schema.check_by_ray(config)
    return findings + list(placeholders(config))


def _counts(config: dict[str, Any]) -> Iterator[Finding]:
    """Check worker counts: Ray's schema has no lower bound for them and does not compare them."""
    limit = as_int(config.get("max_workers"))
    if config.get("max_workers") is None:
        problem = "no bound on the cluster: Ray would take 2"
        yield Finding("max-missing", "max_workers", problem, "the maximum number of workers to pay for")
    elif limit is not None and limit < 0:
        yield Finding("negative-count", "max_workers", f"{limit} workers", "0 or more")
    total = 0
    for name, node_type in as_mapping(config.get("available_node_types")).items():
        path = f"available_node_types.{name}"
        counts = as_mapping(node_type)
        minimum, maximum = as_int(counts.get("min_workers", 0)), as_int(counts.get("max_workers"))
        if counts.get("max_workers") is None:
            yield Finding(
                "max-missing", f"{path}.max_workers", "no bound of its own", "the maximum of this type to pay for"
            )
        for key, count in (("min_workers", minimum), ("max_workers", maximum)):
            if count is not None and count < 0:
                yield Finding("negative-count", f"{path}.{key}", f"{count} workers", "0 or more")
        if minimum is not None and maximum is not None and minimum > maximum >= 0:
            yield Finding(
                "min-over-max",
                f"{path}.min_workers",
                f"{minimum}, more than max_workers {maximum}",
                f"at most {maximum}",
            )
        total += max(minimum or 0, 0)
    if limit is not None and 0 <= limit < total:
        problem = f"{limit}, less than the sum {total} of all min_workers"
        yield Finding("max-below-sum", "max_workers", problem, f"at least {total}")


def _head_type(config: dict[str, Any]) -> Iterator[Finding]:
    types, head = as_mapping(config.get("available_node_types")), config.get("head_node_type")
    if not isinstance(head, str) or head not in types:
        named = ", ".join(types) or "none defined"
        yield Finding(
            "head-unknown", "head_node_type", f"{one_line(head)} is no key of available_node_types", f"one of: {named}"
        )
        return
    path, node_type = f"available_node_types.{head}", as_mapping(types[head])
    cpus = as_mapping(node_type.get("resources")).get("CPU")
    if cpus != 0 or isinstance(cpus, bool):
        problem = "CPU is not given: Ray takes the machine's" if cpus is None else f"offers {one_line(cpus)} CPU"
        problem = f"{problem}, so tasks run beside the GCS and can starve it"
        yield Finding("head-takes-tasks", f"{path}.resources", problem, "resources: {CPU: 0}")
    if (as_int(node_type.get("max_workers")) or 0) > 0:
        problem = "workers of the head's type would offer no CPU"
        yield Finding("head-as-worker", f"{path}.max_workers", problem, "0, and a separate type for workers")


def _idle(config: dict[str, Any]) -> Iterator[Finding]:
    minutes = as_number(config.get("idle_timeout_minutes"))
    if minutes is None or minutes <= 0:
        problem = "not given" if minutes is None else f"{minutes:g}: nodes would be released at once, repeatedly"
        yield Finding("idle-timeout", "idle_timeout_minutes", problem, "minutes above 0, such as 5")
    for name, node_type in as_mapping(config.get("available_node_types")).items():
        seconds = as_number(as_mapping(node_type).get("idle_timeout_s"))
        if seconds is not None and seconds <= 0:
            path = f"available_node_types.{name}.idle_timeout_s"
            yield Finding("idle-timeout", path, f"{seconds:g} s", "seconds above 0")


def _images(config: dict[str, Any], ray: str) -> Iterator[Finding]:
    docker = as_mapping(config.get("docker"))
    for key in ("image", "head_image", "worker_image"):
        if key in docker:
            yield from check_image(docker[key], f"docker.{key}", ray)
    for name, node_type in as_mapping(config.get("available_node_types")).items():
        own = as_mapping(as_mapping(node_type).get("docker"))
        if "worker_image" in own:
            yield from check_image(own["worker_image"], f"available_node_types.{name}.docker.worker_image", ray)
    if docker:
        return
    setup = " ".join(
        as_text(line) for key in ("setup_commands", "head_setup_commands") for line in as_list(config.get(key))
    )
    if "--require-hashes" not in setup or "requirements.lock" not in setup:
        problem = "no image, and no set-up command that installs what requirements.lock pins"
        yield Finding(
            "ray-unpinned", "setup_commands", problem, "pip install --require-hashes -r .../requirements.lock"
        )
