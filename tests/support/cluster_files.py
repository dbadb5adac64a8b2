"""The cluster files of this project, and functions that put a mistake into one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cluster.check_yaml import check_document
from cluster.checks.versions import locked_ray
from tests.support.paths import ROOT

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


def set_value(*path: Any) -> Mistake:
    """Return a mistake that sets the last of ``path`` as the value at the others."""
    *parents, key, value = path

    def mistake(document: dict[str, Any]) -> None:
        target: Any = document
        for part in parents:
            target = target[part]
        target[key] = value

    return mistake


def remove(*path: Any) -> Mistake:
    *parents, key = path

    def mistake(document: dict[str, Any]) -> None:
        target: Any = document
        for part in parents:
            target = target[part]
        del target[key]

    return mistake


def replace_text(path: str, old: str, new: str) -> Mistake:
    """Return a mistake that replaces ``old`` by ``new`` in a list of strings."""

    def mistake(document: dict[str, Any]) -> None:
        target: Any = document
        *parents, last = path.split(".")
        for part in parents:
            target = target[part]
        assert any(old in line for line in target[last])
        target[last] = [line.replace(old, new) for line in target[last]]

    return mistake


def codes(document: dict[str, Any]) -> set[str]:
    return {finding.code for finding in check_document(document, RAY) if finding.severity == "error"}
