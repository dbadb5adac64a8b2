"""The rules for a ``ray up`` file (providers aws and local): Ray's own, and what Ray lets through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.checks import ray_schema
from cluster.checks.finding import Finding, mapping, number, sequence, shown, text, whole
from cluster.checks.placeholders import placeholders
from cluster.checks.providers import check_aws, check_local
from cluster.checks.ray_up_commands import check_starts
from cluster.checks.versions import check_image


def check_launcher(config: dict[str, Any], ray: str) -> list[Finding]:
    """Everything that is wrong in a ``ray up`` file; ``ray`` is the version that requirements.lock pins."""
    findings: list[Finding] = []
    provider = mapping(config.get("provider")).get("type")
    if provider == "aws":
        findings += [*_counts(config), *_head_type(config), *check_aws(config)]
    elif provider == "local":
        findings += check_local(config)
    else:
        findings.append(Finding("provider", "provider.type", f"{shown(provider)} is not checked here", "aws or local"))
    findings += [*_idle(config), *_images(config, ray), *check_starts(config, ray)]
    told = {finding.key for finding in findings}
    findings += [finding for finding in ray_schema.check_schema(config) if finding.key not in told]
    if not findings:
        findings += ray_schema.check_by_ray(config)
    return findings + list(placeholders(config))


def _counts(config: dict[str, Any]) -> Iterator[Finding]:
    """Ray's schema has no lower bound for a type's counts, and nothing compares them."""
    limit = whole(config.get("max_workers"))
    if config.get("max_workers") is None:
        wrong = "no bound on the cluster: Ray would take 2"
        yield Finding("max-missing", "max_workers", wrong, "the most workers to pay for")
    elif limit is not None and limit < 0:
        yield Finding("negative-count", "max_workers", f"{limit} workers", "0 or more")
    total = 0
    for name, node_type in mapping(config.get("available_node_types")).items():
        place = f"available_node_types.{name}"
        counts = mapping(node_type)
        low, high = whole(counts.get("min_workers", 0)), whole(counts.get("max_workers"))
        if counts.get("max_workers") is None:
            yield Finding(
                "max-missing", f"{place}.max_workers", "no bound of its own", "the most of this type to pay for"
            )
        for key, count in (("min_workers", low), ("max_workers", high)):
            if count is not None and count < 0:
                yield Finding("negative-count", f"{place}.{key}", f"{count} workers", "0 or more")
        if low is not None and high is not None and low > high >= 0:
            yield Finding(
                "min-over-max", f"{place}.min_workers", f"{low}, more than max_workers {high}", f"at most {high}"
            )
        total += max(low or 0, 0)
    if limit is not None and 0 <= limit < total:
        wrong = f"{limit}, less than the sum {total} of all min_workers"
        yield Finding("max-below-sum", "max_workers", wrong, f"at least {total}")


def _head_type(config: dict[str, Any]) -> Iterator[Finding]:
    types, head = mapping(config.get("available_node_types")), config.get("head_node_type")
    if not isinstance(head, str) or head not in types:
        named = ", ".join(types) or "none is there"
        yield Finding(
            "head-unknown", "head_node_type", f"{shown(head)} is no key of available_node_types", f"one of: {named}"
        )
        return
    place, node_type = f"available_node_types.{head}", mapping(types[head])
    cpus = mapping(node_type.get("resources")).get("CPU")
    if cpus != 0 or isinstance(cpus, bool):
        said = "CPU is not given: Ray takes the machine's" if cpus is None else f"offers {shown(cpus)} CPU"
        wrong = f"{said}, so tasks run beside the GCS and can starve it"
        yield Finding("head-takes-tasks", f"{place}.resources", wrong, "resources: {CPU: 0}")
    if (whole(node_type.get("max_workers")) or 0) > 0:
        wrong = "workers of the head's type would offer no CPU"
        yield Finding("head-as-worker", f"{place}.max_workers", wrong, "0, and a type of its own for workers")


def _idle(config: dict[str, Any]) -> Iterator[Finding]:
    minutes = number(config.get("idle_timeout_minutes"))
    if minutes is None or minutes <= 0:
        said = "not given" if minutes is None else f"{minutes:g}: nodes would be given back at once, again and again"
        yield Finding("idle-timeout", "idle_timeout_minutes", said, "minutes above 0, as 5")
    for name, node_type in mapping(config.get("available_node_types")).items():
        seconds = number(mapping(node_type).get("idle_timeout_s"))
        if seconds is not None and seconds <= 0:
            place = f"available_node_types.{name}.idle_timeout_s"
            yield Finding("idle-timeout", place, f"{seconds:g} s", "seconds above 0")


def _images(config: dict[str, Any], ray: str) -> Iterator[Finding]:
    docker = mapping(config.get("docker"))
    for key in ("image", "head_image", "worker_image"):
        if key in docker:
            yield from check_image(docker[key], f"docker.{key}", ray)
    for name, node_type in mapping(config.get("available_node_types")).items():
        own = mapping(mapping(node_type).get("docker"))
        if "worker_image" in own:
            yield from check_image(own["worker_image"], f"available_node_types.{name}.docker.worker_image", ray)
    if docker:
        return
    setup = " ".join(
        text(line) for key in ("setup_commands", "head_setup_commands") for line in sequence(config.get(key))
    )
    if "--require-hashes" not in setup or "requirements.lock" not in setup:
        wrong = "no image, and no set-up command that installs what requirements.lock pins"
        yield Finding("ray-unpinned", "setup_commands", wrong, "pip install --require-hashes -r .../requirements.lock")
