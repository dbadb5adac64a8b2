"""Small files that were once read wrongly, used when their folder lies beside the checkout: what each must say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pricing_engine.mesh.errors import ModelError
from pricing_engine.mesh.load import load_model
from tests.shared_models import FOLDER

CASES = FOLDER.parent / "cases"
FORMATS = ("glb_", "obj_", "off_", "ply_", "stl_", "stlb_")
LISTED: dict[str, dict[str, Any]] = (
    json.loads((CASES / "expected.json").read_text()) if (CASES / "expected.json").exists() else {}
)


@pytest.mark.parametrize("name", sorted(name for name in LISTED if name.startswith(FORMATS)))
def test_case(name: str) -> None:
    """Volume, area and closedness as read, before any repair."""
    expected, path = LISTED[name], Path(CASES, name)
    loaded, refusal = None, ""
    try:
        loaded = load_model(path, None, 1)
    except ModelError as error:
        refusal = str(error)
    if loaded is None:
        allowed = expected.get("refuse") or expected.get("or_refuse") or (".*" if expected.get("doubtful") else "$^")
        assert re.search(allowed, refusal)
        return
    assert "refuse" not in expected
    a, b, c = (loaded.mesh.vertices[loaded.mesh.facets[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    volume = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    if "volume_mm3" in expected:
        assert volume == pytest.approx(expected["volume_mm3"], rel=expected.get("rel", 1e-4))
    if "area_mm2" in expected:
        assert float(np.linalg.norm(normals, axis=1).sum()) / 2 == pytest.approx(expected["area_mm2"], rel=1e-6)
    if expected.get("watertight"):
        edges = np.sort(loaded.mesh.facets[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    if "note" in expected:
        assert any(expected["note"] in note.code or expected["note"] in note.message for note in loaded.notes)
