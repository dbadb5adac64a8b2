"""Integrity (``mesh/integrity.py``): edges, bodies, degenerate and duplicate facets."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.weld import canonical_indexed
from tests.naive import topology as naive
from tests.support import shared_models
from tests.support.meshes import canonical, concatenated, read_mesh
from tests.support.paths import SHARED_MODELS

REFERENCE = shared_models.measured("bitwise")


def check(mesh: Mesh, threads: int = 2) -> Topology:
    found, expected = measure_topology(mesh, threads), naive.topology(mesh.vertices, mesh.facets)
    assert found.facet_body.tolist() == expected.pop("facet_body")
    assert {key: getattr(found, key) for key in expected} == expected
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(3, 200))
def test_topology_agrees_with_the_naive_twin(seed: int, count: int, vertex_count: int) -> None:
    rng = np.random.default_rng(seed)
    check(canonical_indexed(rng.integers(-4, 5, (vertex_count, 3)), rng.integers(0, vertex_count, (count, 3)), 1))


@pytest.mark.parametrize("vertex_count", [4, 60, 3000, 20_000])
def test_any_numbering_and_any_threads_have_the_same_topology(vertex_count: int) -> None:
    rng = np.random.default_rng(vertex_count)
    facets = rng.integers(0, vertex_count, (30_000, 3)).astype(np.int32)
    mesh = Mesh(rng.random((vertex_count, 3)), facets)
    found = measure_topology(mesh, 1)
    expected = naive.topology(mesh.vertices, facets)
    assert found.facet_body.tolist() == expected.pop("facet_body")
    expected["euler_number"] += vertex_count - len(np.unique(facets))
    assert {key: getattr(found, key) for key in expected} == expected
    for threads in (2, 7):
        other = measure_topology(mesh, threads)
        assert np.array_equal(other.facet_body, found.facet_body)
        assert np.array_equal(other.neighbours, found.neighbours)


def test_closed_solids_have_their_euler_number() -> None:
    for solid, bodies, euler in [
        (trimesh.creation.icosphere(subdivisions=5), 1, 2),
        (trimesh.creation.torus(3, 1, major_sections=90, minor_sections=60), 1, 0),
        (concatenated([trimesh.creation.box(), trimesh.creation.icosphere(radius=0.2)]), 2, 4),
    ]:
        found = check(canonical(solid))
        assert found.watertight
        assert found.winding_consistent
        assert (found.bodies, found.euler_number) == (bodies, euler)


def test_neighbours_share_the_edge() -> None:
    solid = trimesh.creation.icosphere(subdivisions=5)
    mesh = canonical(solid)
    neighbours = measure_topology(mesh, 2).neighbours
    for corner in range(3):
        edge = np.sort(mesh.facets[:, [corner, (corner + 1) % 3]], axis=1)
        other = mesh.facets[neighbours[:, corner]]
        assert (other[:, :, None] == edge[:, None, :]).any(axis=1).all()
        assert (neighbours[:, corner] != np.arange(len(other))).all()


def test_many_facets_at_one_vertex_or_one_edge_are_counted() -> None:
    n = 30_000
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    rim = np.column_stack((np.cos(angle), np.sin(angle), np.zeros(n)))
    i = np.arange(n)
    disc = np.column_stack((np.full(n, n), i, (i + 1) % n))
    found = measure_topology(canonical_indexed(np.vstack((rim, [[0, 0, 0]])), disc, 1), 2)
    assert (found.boundary_edges, found.bodies, found.euler_number) == (n, 1, 1)
    book = np.column_stack((np.full(n, n), np.full(n, n + 1), i))
    found = measure_topology(canonical_indexed(np.vstack((rim, [[0, 0, 0], [0, 0, 1]])), book, 1), 2)
    assert (found.non_manifold_edges, found.boundary_edges, found.bodies) == (1, 2 * n, 1)


def test_collinear_facet_is_degenerate_wherever_it_lies() -> None:
    for origin in (0.0, 0.1, 1e5):
        vertices = np.array([[0, 0, 0], [0.1, 0.2, 0.3], [0.2, 0.4, 0.6]]) + origin
        assert measure_topology(canonical_indexed(vertices, np.array([[0, 1, 2]]), 1), 1).degenerate_facets == 1


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_real_models_agree_with_reference(name: str) -> None:
    mesh = canonical(read_mesh(SHARED_MODELS / name), threads=2)
    found = measure_topology(mesh, 2)
    measured = {key: getattr(found, key, None) for key in REFERENCE[name]}
    measured |= {"facets": mesh.facet_count, "vertices": len(mesh.vertices)}
    assert {key: measured[key] for key in REFERENCE[name]} == REFERENCE[name]


def test_pages_of_a_book_are_one_body_whatever_their_order_about_the_spine() -> None:
    """The cycle of facets at the spine visits them in any order, and only some of its links go back in memory."""
    for pages in (3, 4, 5, 7):
        for seed in range(20):
            tips = np.random.default_rng(seed).permutation(pages) + 2
            facets = np.column_stack((np.zeros(pages), np.ones(pages), tips)).astype(np.int32)
            found = measure_topology(Mesh(np.random.default_rng(seed).random((pages + 2, 3)), facets), 1)
            assert (found.non_manifold_edges, found.bodies) == (1, 1)


def test_a_vertex_may_have_more_edges_than_a_row_holds() -> None:
    for spokes in (15, 16, 17, 40):
        angle = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
        rim = np.column_stack((np.cos(angle), np.sin(angle), np.zeros(spokes)))
        i = np.arange(spokes, dtype=np.int32) + 1
        after = np.roll(i, -1)
        apex = np.column_stack((np.zeros(spokes, np.int32), i, after))
        base = np.column_stack((np.full(spokes, spokes + 1, np.int32), after, i))
        mesh = Mesh(np.vstack(([[0, 0, 1.0]], rim, [[0, 0, -1.0]])), np.vstack((apex, base)).astype(np.int32))
        found = check(mesh)
        assert found.watertight
        assert found.winding_consistent
