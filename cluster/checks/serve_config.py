"""Rules for a Serve configuration: Ray's own schema, and the unknown keys that Serve silently ignores.

An import path is parsed, not imported: the check needs no service.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import pydantic

from cluster.checks.finding import Finding, as_list, as_mapping, one_line


def check_serve(config: dict[str, Any], prefix: str = "") -> list[Finding]:
    """Return all findings of a Serve configuration that is under the key ``prefix``."""
    from ray.serve.schema import (
        DeploymentSchema,
        HTTPOptionsSchema,
        RayActorOptionsSchema,
        ServeApplicationSchema,
        ServeDeploySchema,
    )

    findings = list(_unknown(config, ServeDeploySchema, prefix))
    findings += _unknown(config.get("http_options"), HTTPOptionsSchema, _at(prefix, "http_options"))
    for index, application in enumerate(as_list(config.get("applications"))):
        path = _at(prefix, f"applications[{index}]")
        findings += _unknown(application, ServeApplicationSchema, path)
        for position, deployment in enumerate(as_list(as_mapping(application).get("deployments"))):
            inner = f"{path}.deployments[{position}]"
            findings += _unknown(deployment, DeploymentSchema, inner)
            options = as_mapping(deployment).get("ray_actor_options")
            findings += _unknown(options, RayActorOptionsSchema, f"{inner}.ray_actor_options")
    try:
        ServeDeploySchema.model_validate(config)
    except pydantic.ValidationError as error:
        for problem in error.errors():
            path = prefix
            for part in problem["loc"]:
                path = f"{path}[{part}]" if isinstance(part, int) else _at(path, part)
            findings.append(Finding("serve-schema", path, one_line(problem["msg"]), "what Serve's schema asks"))
    except (TypeError, AttributeError, ValueError) as error:
        # Serve's own validators raise on some wrong types instead of reporting them.
        findings.append(
            Finding("serve-schema", prefix, one_line(f"{type(error).__name__}: {error}"), "what Serve's schema asks")
        )
    if not findings and not as_list(config.get("applications")):
        findings.append(
            Finding("serve-empty", _at(prefix, "applications"), "no application", "an import_path to serve")
        )
    return findings


def _unknown(value: Any, model: type[pydantic.BaseModel], prefix: str) -> Iterator[Finding]:
    for key in as_mapping(value):
        if key not in model.model_fields:
            matches = difflib.get_close_matches(key, model.model_fields, 1)
            fix = f"{matches[0]}, if that is meant" if matches else "nothing here: remove it"
            yield Finding("unknown-key", _at(prefix, key), "Serve ignores it", fix)


def _at(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
