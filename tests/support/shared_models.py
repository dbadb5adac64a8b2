"""Real models with reference values, used if their folder is beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.paths import SHARED_MODELS

Values = dict[str, Any]
THINGI10K = SHARED_MODELS / "thingi10k"


def _read(path: Path) -> dict[str, Values]:
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    models: dict[str, Values] = document.get("models", document)
    return models


def reference() -> dict[str, Values]:
    """Return peers' values by model file name; empty without the folder."""
    return _read(SHARED_MODELS / "reference.json")


def broken_reference() -> dict[str, Values]:
    """Return peers' values by file name of the Thingi10K excerpt; empty without the folder."""
    return _read(THINGI10K / "reference.json")


def measured(kind: str, suffixes: tuple[str, ...] = (".stl", ".obj")) -> dict[str, Values]:
    """Return the values of one ``kind`` by the file name of each model that exists, has them and is of a format."""
    return {
        name: values[kind]
        for name, values in reference().items()
        if kind in values and name.endswith(suffixes) and (SHARED_MODELS / name).exists()
    }


def present(*names: str) -> list[str]:
    """Return those of the models' file names that exist."""
    return [name for name in names if (SHARED_MODELS / name).exists()]
