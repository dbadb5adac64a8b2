"""The repository's folder, and the folder of shared models that some tests use if it is beside the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED_MODELS = ROOT.parent / "shared" / "models"
