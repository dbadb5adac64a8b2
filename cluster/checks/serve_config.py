"""The rules for a Serve configuration: Ray's own schema, and the unknown keys that Serve ignores in silence.

An import path is read, not imported: the check needs no service.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import pydantic

from cluster.checks.finding import Finding, mapping, sequence, shown


def check_serve(config: dict[str, Any], where: str = "") -> list[Finding]:
    """Everything that is wrong in a Serve configuration that stands under the key ``where``."""
    from ray.serve.schema import (
        DeploymentSchema,
        HTTPOptionsSchema,
        RayActorOptionsSchema,
        ServeApplicationSchema,
        ServeDeploySchema,
    )

    findings = list(_unknown(config, ServeDeploySchema, where))
    findings += _unknown(config.get("http_options"), HTTPOptionsSchema, _at(where, "http_options"))
    for index, application in enumerate(sequence(config.get("applications"))):
        place = _at(where, f"applications[{index}]")
        findings += _unknown(application, ServeApplicationSchema, place)
        for number, deployment in enumerate(sequence(mapping(application).get("deployments"))):
            inner = f"{place}.deployments[{number}]"
            findings += _unknown(deployment, DeploymentSchema, inner)
            options = mapping(deployment).get("ray_actor_options")
            findings += _unknown(options, RayActorOptionsSchema, f"{inner}.ray_actor_options")
    try:
        ServeDeploySchema.model_validate(config)
    except pydantic.ValidationError as error:
        for problem in error.errors():
            place = where
            for part in problem["loc"]:
                place = f"{place}[{part}]" if isinstance(part, int) else _at(place, part)
            findings.append(Finding("serve-schema", place, shown(problem["msg"]), "what Serve's schema asks"))
    except (TypeError, AttributeError, ValueError) as error:
        # Serve's own validators trip over some wrong types instead of telling them.
        findings.append(
            Finding("serve-schema", where, shown(f"{type(error).__name__}: {error}"), "what Serve's schema asks")
        )
    if not findings and not sequence(config.get("applications")):
        findings.append(Finding("serve-empty", _at(where, "applications"), "no application", "an import_path to serve"))
    return findings


def _unknown(value: Any, model: type[pydantic.BaseModel], where: str) -> Iterator[Finding]:
    for key in mapping(value):
        if key not in model.model_fields:
            likely = difflib.get_close_matches(key, model.model_fields, 1)
            write = f"{likely[0]}, if that is meant" if likely else "nothing here: remove it"
            yield Finding("unknown-key", _at(where, key), "Serve ignores it", write)


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
