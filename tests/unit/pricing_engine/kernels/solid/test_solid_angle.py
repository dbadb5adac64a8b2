"""Solid angles of caps: exact near by, dipoles within their error far away, and what each box's dipole sums up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y
from pricing_engine.kernels.solid.solid_angle import Caps, cap_dipoles, caps_angle
from pricing_engine.kernels.solid.winding import STACK, general_position
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh
from tests.naive.solid import generalized_winding
from tests.support.kernel_inputs import BOX, Floats, meshes, randoms
from tests.support.meshes import welded


def angles(mesh: Mesh, first: int, points: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Solid angles of the facets from ``first`` on from ``points`` (n, 3) mm, and the terms of each."""
    bvh = build_bvh(mesh, 1)
    moved, part = general_position(mesh, bvh, 0.0, 1), Mesh(mesh.vertices, mesh.facets[first:])
    tree = build_bvh(part, 1)
    assert (tree.centre == bvh.centre).all()
    caps, stack = Caps(first, tree.level_start, cap_dipoles(part, tree)), np.empty((STACK, 2), np.int64)
    found, work = np.empty(len(points)), np.zeros(len(points), np.int64)
    for i, (x, y, z) in enumerate(points - bvh.centre):
        found[i] = caps_angle(x - SHEAR_X * z, y - SHEAR_Y * z, z, moved, mesh.facets, caps, stack, work, i)
    return found, work


@settings(max_examples=50)
@given(meshes(1, 15, far=False), st.data())
def test_near_by_the_angles_are_exact(mesh: Mesh, data: st.DataObject) -> None:
    """Where the one leaf of at most eight facets is opened, and not one dipole."""
    first = data.draw(st.integers(max(0, mesh.facet_count - WIDTH), mesh.facet_count - 1))
    random = data.draw(randoms())
    low, high = mesh.box()
    points = low + random.random((10, 3)) * (high - low)
    found, work = angles(mesh, first, points)
    corners = mesh.vertices[mesh.facets[first:]]
    expected = 4 * math.pi * generalized_winding(corners, points)
    exact = work == WIDTH + len(corners)
    assert ((work == WIDTH) | exact).all()
    # on the plane of a facet, half of the sphere has either sign
    assert np.abs(np.sin((found - expected)[exact] / 2)).max(initial=0) < 1e-6


@settings(max_examples=25)
@given(meshes(1, 30, far=False), randoms())
def test_the_error_of_dipoles_falls_with_the_cube_of_the_distance(mesh: Mesh, random: np.random.Generator) -> None:
    low, high = mesh.box()
    size = float(np.linalg.norm(high - low))
    if size == 0:
        return
    corners = mesh.vertices[mesh.facets]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    direction = random.normal(size=(8, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    for distance in (4.0, 20.0, 200.0):
        points = (low + high) / 2 + direction * distance * size
        found, work = angles(mesh, 0, points)
        assert (work == WIDTH).all()  # the top level alone
        expected = 4 * math.pi * generalized_winding(corners, points)
        assert np.abs(found - expected).max() <= 2 * area / size**2 / distance**3 + 1e-12


def test_many_leaves_of_a_closed_surface_nearly_cancel_outside() -> None:
    vertices, facets = BOX.reshape(-1, 3), np.arange(36).reshape(-1, 3)
    for _ in range(3):
        vertices, facets = trimesh.remesh.subdivide(vertices, facets)
    random = np.random.default_rng(2)
    points = random.uniform(-1.5, 1.5, (200, 3))
    clear = np.abs(np.abs(points).max(axis=1) - 0.5) > 0.05
    found, work = angles(welded(vertices[facets]), 0, points)
    inside = np.abs(points).max(axis=1) < 0.5
    assert np.abs(found - 4 * math.pi * inside)[clear].max() < 0.03 * 4 * math.pi
    assert work.max() < len(facets)


def test_a_closed_box_has_the_whole_sphere_inside_and_nothing_outside() -> None:
    mesh = welded(BOX)
    found, _ = angles(mesh, 0, np.array([[0.1, 0.2, -0.3], [0, 0, 0.7], [2.0, 1, 0.5]]))
    assert found == pytest.approx([4 * math.pi, 0, 0], abs=1e-9)
    lid, _ = angles(mesh, 10, np.zeros((1, 3)))
    assert abs(lid[0]) == pytest.approx(4 * math.pi / 6)


def facets_under(tree: Bvh, level: int, box: int, count: int) -> range:
    span = WIDTH ** (level + 1)
    return range(min(box * span, count), min((box + 1) * span, count))


@settings(max_examples=50)
@given(meshes(1, 150, far=False))
def test_dipoles_sum_up_the_facets_under_their_box(mesh: Mesh) -> None:
    tree = build_bvh(mesh, 1)
    dipoles = cap_dipoles(mesh, tree)
    corners = mesh.vertices[mesh.facets] - tree.centre
    vector = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    area = np.linalg.norm(vector, axis=1)
    ends = [*tree.level_start[1:].tolist(), len(dipoles)]
    slack = 1e-6 * tree.diagonal
    for level, (start, end) in enumerate(zip(tree.level_start.tolist(), ends, strict=True)):
        for box in range(end - start):
            held = facets_under(tree, level, box, mesh.facet_count)
            total, middle, radius = np.split(dipoles[start + box], [3, 6])
            assert total == pytest.approx(vector[held].sum(axis=0), abs=1e-9 * (1 + area.sum()))
            if area[held].sum() > 1e-12 * area.sum():
                weighted = (corners[held].mean(axis=1) * area[held, None]).sum(axis=0) / area[held].sum()
                assert middle == pytest.approx(weighted, abs=slack)
            if len(held):
                assert radius[0] >= np.linalg.norm(corners[held] - middle, axis=2).max() - 1e-12 * tree.diagonal
