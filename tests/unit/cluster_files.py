"""The cluster files of this project, and ways to put a mistake into one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cluster.check_yaml import check_document
from cluster.checks.versions import locked_ray

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
