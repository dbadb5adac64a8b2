"""Samples (``mesh/samples.py``): closed shells whose stated volumes are what manifold3d computes."""

from __future__ import annotations

from pathlib import Path

import manifold3d
import numpy as np
import pytest
import trimesh

from pricing_engine.kernels.solid.mass import mass_properties
from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.samples import FORMATS, SAMPLES, box, sphere
from tests.support.meshes import signed_volume, solid_of, union


@pytest.mark.parametrize("name", SAMPLES)
def test_stated_volume_is_the_union_of_the_shells(name: str) -> None:
    sample = SAMPLES[name]()
    shells = []
    for vertices, facets in sample.shells:
        rounded = vertices.astype(np.float32).astype(float)
        unique, index = np.unique(rounded, axis=0, return_inverse=True)
        shells.append(trimesh.Trimesh(unique, index.ravel()[facets], process=False))
        assert solid_of(shells[-1]).status() == manifold3d.Error.NoError
    assert sample.volume_mm3 == pytest.approx(union(shells).volume(), rel=1e-6)


def test_the_pave_ring_overlaps_much() -> None:
    sample = SAMPLES["pave"]()
    assert len(sample.shells) == 133


def test_primitives_face_outwards() -> None:
    for vertices, facets in (box(np.zeros(3), np.ones(3)), sphere(np.zeros(3), 1.0)):
        assert signed_volume(vertices, facets) > 0


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_has_the_same_shells(file_format: str, tmp_path: Path) -> None:
    sample = SAMPLES["signet"]()
    loaded = load_model(sample.write(tmp_path, file_format), None, 1)
    assert (loaded.format, loaded.unit) == (file_format, "m" if file_format == "glb" else "mm")
    assert loaded.mesh.facet_count == sum(len(facets) for _, facets in sample.shells)
    expected = sum(signed_volume(vertices, facets) for vertices, facets in sample.shells)
    assert mass_properties(loaded.mesh, 1).volume == pytest.approx(expected, rel=1e-5)
