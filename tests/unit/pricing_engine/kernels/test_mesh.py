"""The mesh's number of facets and box, also without vertices."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings

from pricing_engine.kernels.mesh import Mesh
from tests.support.kernel_inputs import meshes


@settings(max_examples=50)
@given(meshes(least=1))
def test_the_box_holds_every_vertex_and_touches_one_on_each_side(mesh: Mesh) -> None:
    low, high = mesh.box()
    assert low.tolist() == mesh.vertices.min(axis=0).tolist()
    assert high.tolist() == mesh.vertices.max(axis=0).tolist()
    assert mesh.facet_count == mesh.facets.shape[0]


def test_without_vertices_the_box_is_the_origin() -> None:
    empty = Mesh(np.empty((0, 3)), np.empty((0, 3), np.int32))
    low, high = empty.box()
    assert low.tolist() == high.tolist() == [0.0, 0.0, 0.0]
    assert empty.facet_count == 0


def test_vertices_that_no_facet_uses_count_in_the_box() -> None:
    low, high = Mesh(np.array([[1.0, 2, 3], [-4, 5, 6e7]]), np.empty((0, 3), np.int32)).box()
    assert (low.tolist(), high.tolist()) == ([-4.0, 2.0, 3.0], [1.0, 5.0, 6e7])


def test_a_mesh_cannot_be_changed() -> None:
    mesh = Mesh(np.zeros((1, 3)), np.zeros((1, 3), np.int32))
    for name in ("vertices", "facets"):
        with pytest.raises(FrozenInstanceError):
            setattr(mesh, name, np.ones((1, 3)))
