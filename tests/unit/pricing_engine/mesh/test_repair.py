"""Repair (``mesh/repair.py``): each kind, combinations, and meshes that need none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.mass import mass_properties
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.repair import inverted_shells, repair
from pricing_engine.mesh.shells import find_shells
from pricing_engine.mesh.weld import canonical_indexed
from tests.support.meshes import concatenated, inside_out


def repair_counts(vertices: ArrayLike, facets: ArrayLike) -> tuple[Mesh, Mesh, dict[str, int]]:
    mesh = canonical_indexed(np.asarray(vertices, np.float64), np.asarray(facets), 1)
    result, counts = repair(mesh, measure_topology(mesh, 1), 2)
    again, _ = repair(result, measure_topology(result, 1), 1)
    assert again is result  # repair is idempotent
    return mesh, result, {step.code: step.count for step in counts}


def sphere(
    subdivisions: int = 3, radius: float = 1.0, at: Sequence[float] = (0, 0, 0), inverted: bool = False
) -> trimesh.Trimesh:
    solid = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius).apply_translation(at)
    return inside_out(solid) if inverted else solid


def test_clean_mesh_is_returned_as_it_is() -> None:
    solid = sphere()
    mesh, result, counts = repair_counts(solid.vertices, solid.faces)
    assert result is mesh
    assert counts == {}


def test_repeated_vertices_and_duplicates_are_removed() -> None:
    solid = sphere()
    faces = solid.faces
    extra = [[0, 0, 5], [7, 7, 7], faces[3], faces[3][[1, 2, 0]], faces[9]]
    _, result, counts = repair_counts(solid.vertices, np.vstack((faces, extra)))
    assert counts == {"degenerate_facets_removed": 2, "duplicate_facets_removed": 3}
    assert measure_topology(result, 1).watertight
    assert result.facet_count == len(faces)


def test_a_facet_and_its_reverse_cancel() -> None:
    solid = sphere()
    flap = np.array([solid.vertices[0], [2, 0, 0], [2, 1, 0]])
    vertices, n = np.vstack((solid.vertices, flap[1:])), len(solid.vertices)
    _, result, counts = repair_counts(vertices, np.vstack((solid.faces, [[0, n, n + 1], [0, n + 1, n]])))
    assert counts == {"opposite_facets_removed": 2}
    assert len(result.vertices) == n


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_random_flips_are_undone(seed: int, share: float) -> None:
    solid = sphere(2)
    flip = np.random.default_rng(seed).random(len(solid.faces)) < share
    faces = np.where(flip[:, None], solid.faces[:, ::-1], solid.faces)
    _, result, _ = repair_counts(solid.vertices, faces)
    topology = measure_topology(result, 1)
    assert topology.winding_consistent
    assert topology.watertight
    assert mass_properties(result, 1).volume == pytest.approx(solid.volume)


def test_inside_out_bodies_are_flipped_and_cavities_stay() -> None:
    parts = [
        sphere(radius=10),
        sphere(radius=8, inverted=True),  # a cavity
        sphere(radius=2, at=(30, 0, 0), inverted=True),  # inside out
        sphere(radius=2, at=(40, 0, 0)),
    ]
    model = concatenated(parts)
    mesh, result, counts = repair_counts(model.vertices, model.faces)
    assert counts == {"bodies_turned": 1}
    expected = parts[0].volume + parts[1].volume - parts[2].volume + parts[3].volume
    assert mass_properties(result, 1).volume == pytest.approx(expected)
    assert inverted_shells(mesh, find_shells(mesh, measure_topology(mesh, 1), 1), 1).flip.sum() == 1


def test_many_inside_out_bodies_are_flipped() -> None:
    places = np.random.default_rng(1).uniform(-60, 60, (400, 3))
    places = places[np.abs(np.linalg.norm(places, axis=1) - 50) > 2]  # none touches the large sphere
    outside = np.linalg.norm(places, axis=1) > 50
    balls = [sphere(1, 0.01, at, inverted=True) for at in places]
    model = concatenated([sphere(radius=50), *balls])
    _, _, counts = repair_counts(model.vertices, model.faces)
    assert counts == {"bodies_turned": int(outside.sum())}


def test_open_bodies_flip_by_volume_and_sheets_never() -> None:
    solid = sphere(inverted=True)
    _, result, counts = repair_counts(solid.vertices, solid.faces[1:])
    assert counts == {"bodies_turned": 1}
    assert mass_properties(result, 1).volume > 0
    sheets: list[list[list[int]]] = [[[0, 1, 2]], [[0, 2, 1]], [[0, 1, 2], [1, 3, 2]]]
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.01]])
    for facets in sheets:
        assert repair_counts(corners, facets)[2] == {}


def test_degenerate_facets_that_repeat_one_another_are_removed() -> None:
    solid = sphere()
    _, result, counts = repair_counts(solid.vertices, np.vstack((solid.faces, [[0, 0, 5], [0, 0, 5], [0, 5, 0]])))
    assert counts == {"degenerate_facets_removed": 3}
    assert result.facet_count == len(solid.faces)


def test_only_degenerate_facets_stay_unchanged() -> None:
    mesh, result, counts = repair_counts(np.eye(3), [[0, 0, 1], [2, 2, 2]])
    assert result is mesh
    assert counts == {}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_any_soup_keeps_facets(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = canonical_indexed(rng.normal(size=(12, 3)), rng.integers(0, 12, (count, 3)), 1)
    result, counts = repair(mesh, measure_topology(mesh, 1), 1)
    assert result.facet_count > 0
    assert (result is mesh) == (counts == ())
