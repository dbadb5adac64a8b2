"""The project's own models: closed shells whose stated volumes are what manifold3d computes."""

from __future__ import annotations

import manifold3d
import numpy as np
import pytest

from pricing_engine.mesh.samples import SAMPLES, box, sphere


@pytest.mark.parametrize("name", SAMPLES)
def test_stated_volume_is_the_union_of_the_shells(name: str) -> None:
    sample = SAMPLES[name]()
    solids = []
    for vertices, facets in sample.shells:
        rounded = vertices.astype(np.float32).astype(float)
        unique, index = np.unique(rounded, axis=0, return_inverse=True)
        solid = manifold3d.Manifold(manifold3d.Mesh64(unique, index.ravel()[facets].astype(np.uint64)))
        assert solid.status() == manifold3d.Error.NoError
        solids.append(solid)
    union = manifold3d.Manifold.batch_boolean(solids, manifold3d.OpType.Add)
    assert sample.volume_mm3 == pytest.approx(union.volume(), rel=1e-6)


def test_the_pave_ring_overlaps_much() -> None:
    sample = SAMPLES["pave"]()
    assert len(sample.shells) == 133


def test_primitives_face_outwards() -> None:
    for vertices, facets in (box(np.zeros(3), np.ones(3)), sphere(np.zeros(3), 1.0)):
        a, b, c = (vertices[facets[:, k]] for k in range(3))
        assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() > 0
