"""The Thingi10K excerpt: holes, fragments, non-manifold edges, self-intersections; each has plausible results."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from pricing_engine.analysis.measure import Settings, measure
from tests.support import shared_models
from tests.support.paths import SHARED_MODELS

REFERENCE = shared_models.broken_reference()


def floats(value: Any) -> Iterator[float]:
    """Yield all floats of nested dicts and lists."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from floats(part)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_broken_models_are_measured(name: str) -> None:
    expected = REFERENCE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analysis = measure(SHARED_MODELS / "thingi10k" / name, None, Settings(layer_height_mm=0.2), 2).analysis
    integrity, geometry, bitwise = analysis.integrity, analysis.geometry, expected["bitwise"]
    assert (analysis.model.facets, analysis.model.vertices) == (bitwise["facets"], bitwise["vertices"])
    for field in ("watertight", "boundary_edges", "non_manifold_edges", "bodies"):
        assert getattr(integrity, field) == bitwise[field], field
    assert all(map(math.isfinite, floats(analysis.to_dict())))
    assert geometry.area_mm2 == pytest.approx(expected["area"], rel=1e-6)
    assert geometry.volume_mm3 is not None
    assert geometry.hull_volume_mm3 is not None
    box = math.prod(b - a for a, b in zip(*expected["bbox"], strict=True))
    assert 0 < geometry.volume_mm3 <= geometry.hull_volume_mm3 * (1 + 1e-9) <= box * (1 + 1e-6)
    trapped, layers = analysis.slices.trapped_volume_mm3, analysis.slices
    assert trapped is not None
    assert layers.layers is not None
    assert 0 <= trapped <= box
    if layers.layers > 100:
        assert layers.area_sum_mm2 == pytest.approx(geometry.volume_mm3 / 0.2, rel=0.03)
    if integrity.watertight and integrity.winding_consistent:
        assert geometry.signed_volume_mm3 == pytest.approx(expected["volume"], rel=1e-6)
        single_solid = integrity.bodies == 1 and not integrity.self_intersecting_facets
        if single_solid:
            assert geometry.volume_mm3 == pytest.approx(abs(expected["volume"]), rel=1e-7)
