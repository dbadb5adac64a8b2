"""Real models with reference values, used if their folder is beside the checkout."""

from __future__ import annotations

import json
from typing import Any

from tests.support.paths import SHARED_MODELS


def reference() -> dict[str, dict[str, Any]]:
    """Return peers' values by model file name; empty without the folder."""
    path = SHARED_MODELS / "reference.json"
    models: dict[str, dict[str, Any]] = json.loads(path.read_text())["models"] if path.exists() else {}
    return models


def broken_reference() -> dict[str, dict[str, Any]]:
    """Return peers' values by file name of the Thingi10K excerpt; empty without the folder."""
    path = SHARED_MODELS / "thingi10k" / "reference.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document.get("models", document)
