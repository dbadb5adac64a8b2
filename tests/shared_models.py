"""Real models with reference values, used when their folder lies beside the checkout; the tests pass without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "shared" / "models"


def reference() -> dict[str, dict[str, Any]]:
    """Model file name -> peers' values; empty where the folder is missing."""
    path = FOLDER / "reference.json"
    models: dict[str, dict[str, Any]] = json.loads(path.read_text())["models"] if path.exists() else {}
    return models


def broken_reference() -> dict[str, dict[str, Any]]:
    """The Thingi10K excerpt: file name below ``thingi10k`` -> peers' values; empty where the folder is missing."""
    path = FOLDER / "thingi10k" / "reference.json"
    tree: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return tree.get("models", tree)
