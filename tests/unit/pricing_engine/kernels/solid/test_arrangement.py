"""The part of cut facets that bounds the solid: by winding numbers beside their points, and exact booleans."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.solid.arrangement import Cuts, cut_facets
from pricing_engine.kernels.solid.boundary import CUT, INSIDE, UNCUT
from pricing_engine.kernels.solid.segments import mark_crossing, write_segments
from pricing_engine.kernels.solid.winding import JITTER, general_position, ray_pad
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.naive.solid import generalized_winding
from tests.naive.thickness import closest_points
from tests.support.kernel_inputs import BOX, Floats, normals_of, randoms, shells
from tests.support.meshes import welded

PLENTY = 1 << 40


class Pieces(NamedTuple):
    mesh: Mesh
    facets: Ints
    status: NDArray[np.int8]
    corners: Floats
    owner: Ints
    nodes: int
    units: int


def cut(mesh: Mesh, budget: int = PLENTY) -> Pieces:
    """Cut all facets that others cross."""
    bvh = build_bvh(mesh, 1)
    moved = general_position(mesh, bvh, JITTER, 1)
    first, second = (side.astype(np.int32) for side in np.triu_indices(mesh.facet_count, 1))
    crossing = np.zeros(len(first), np.bool_)
    mark_crossing(0, len(first), moved, mesh.facets, first, second, np.empty((0, 4)), np.empty(0, np.int8), crossing)
    first, second = first[crossing], second[crossing]
    owner = np.concatenate([first, second])
    order = np.argsort(owner, kind="stable")
    row = np.empty(len(owner), np.int64)
    row[order] = np.arange(len(owner))
    segments, flags = np.empty((len(owner), 4)), np.zeros(len(owner), np.int8)
    rows = row[: len(first)].copy(), row[len(first) :].copy()
    write_segments(0, len(first), moved, mesh.facets, first, second, *rows, segments, flags)
    facets, start = np.unique(owner[order], return_index=True)
    status = np.full(mesh.facet_count, -1, np.int8)
    cuts = Cuts(facets, np.append(start, len(owner)), segments, flags)
    corners, of_piece, nodes, units = cut_facets(
        0, len(facets), cuts, moved, mesh.facets, mesh.vertices, bvh, ray_pad(bvh), budget, status
    )
    return Pieces(mesh, facets, status, corners, of_piece, nodes, units)


def least_weights(point: Floats, triangles: Floats) -> Floats:
    """The least barycentric weight (n,) of a point in each of coplanar triangles (n, 3, 3); slivers are left out."""
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    square = np.einsum("ij,ij->i", normal, normal)
    triangles, normal, square = triangles[square > 1e-12], normal[square > 1e-12], square[square > 1e-12]
    parts = [
        np.einsum("ij,ij->i", np.cross(triangles[:, k] - point, triangles[:, (k + 1) % 3] - point), normal) / square
        for k in range(3)
    ]
    least: Floats = np.min(parts, axis=0, initial=1)
    return least


@settings(max_examples=25)
@given(shells(2, 4), randoms())
def test_pieces_are_where_the_outside_has_the_winding_number_0(
    parts: list[Floats], random: np.random.Generator
) -> None:
    pieces = cut(welded(*parts))
    mesh, corners = pieces.mesh, pieces.mesh.vertices[pieces.mesh.facets]
    normals, size = normals_of(corners), np.ptp(mesh.vertices, axis=0).max()
    untouched = np.setdiff1d(np.arange(mesh.facet_count), pieces.facets)
    assert (pieces.status[untouched] == -1).all()
    for f in pieces.facets[:6]:
        own = pieces.corners[pieces.owner == f]
        assert (len(own) > 0) == (pieces.status[f] == CUT)
        for piece in own:
            assert least_weights(piece.mean(axis=0), corners[[f]]).min(initial=1) >= -1e-6
        np.testing.assert_allclose((own - corners[f][0]) @ normals[f], 0, atol=1e-6 * size)
        points = random.dirichlet(np.ones(3), 6) @ corners[f]
        outside = generalized_winding(corners, points + 1e-6 * size * normals[f])
        inside = generalized_winding(corners, points - 1e-6 * size * normals[f])
        for point, out, within in zip(points, outside, inside, strict=True):
            least = least_weights(point, own)
            least = least_weights(point, own)
            away = np.linalg.norm(closest_points(corners, np.tile(point, (len(corners), 1))) - point, axis=1)
            # on one facet only (of several in one place any may be the boundary), not at the border of a piece
            alone = np.count_nonzero(away < 1e-5 * size) == 1
            if alone and (np.abs(least) > 1e-3).all():
                assert round(within - out) == 1
                held = pieces.status[f] == UNCUT or (least > 0).any()
                assert held == (round(out) == 0)


@settings(max_examples=15)
@given(shells(2, 3, reversible=False))
def test_areas_of_pieces_are_at_most_those_of_their_facets(parts: list[Floats]) -> None:
    pieces = cut(welded(*parts))
    corners = pieces.mesh.vertices[pieces.mesh.facets]

    def areas(triangles: Floats) -> Floats:
        vectors = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        lengths: Floats = np.linalg.norm(vectors, axis=1) / 2
        return lengths

    found = np.bincount(pieces.owner, areas(pieces.corners), pieces.mesh.facet_count)
    assert (found <= areas(corners) * (1 + 1e-6)).all()
    along = np.einsum("ij,ij->i", normals_of(pieces.corners), normals_of(corners)[pieces.owner])
    assert (along[areas(pieces.corners) > 1e-6] > 0.99).all()  # oriented like their facets


@pytest.mark.parametrize("shift", [(0.5, 0.4, 0.3), (0.25, 0.25, 0.75), (0.9, 0.0, 0.0)])
def test_two_boxes_have_the_area_of_their_union(shift: tuple[float, float, float]) -> None:
    pieces = cut(welded(BOX, BOX + shift))
    cut_area = np.linalg.norm(
        np.cross(pieces.corners[:, 1] - pieces.corners[:, 0], pieces.corners[:, 2] - pieces.corners[:, 0]), axis=1
    ).sum()
    common = 1 - np.array(shift)
    expected = 12 - 2 * (common[0] * common[1] + common[1] * common[2] + common[2] * common[0])
    others = np.setdiff1d(np.arange(24), pieces.facets)
    corners = pieces.mesh.vertices[pieces.mesh.facets[others]]
    # of facets that none crosses, those inside the other box do not count
    middle = corners.mean(axis=1)
    inside = (np.abs(middle) < 0.5).all(axis=1) | (np.abs(middle - shift) < 0.5).all(axis=1)
    others_area = 0.5 * (len(others) - inside.sum()) + 0.5 * (pieces.status == UNCUT).sum()
    if min(shift) > 0:
        assert cut_area / 2 + others_area == pytest.approx(expected, rel=1e-6)
    assert set(pieces.status.tolist()) <= {-1, INSIDE, UNCUT, CUT}


def test_beyond_the_budget_facets_are_left_out() -> None:
    mesh = welded(BOX, BOX + np.array([0.5, 0.4, 0.3]))
    every = cut(mesh)
    assert every.units > 2 * every.nodes > 0
    part = cut(mesh, every.units // 3)
    assert part.units > every.units // 3
    assert 0 < len(part.corners) < len(every.corners)
    assert np.array_equal(part.corners, every.corners[: len(part.corners)])
    assert (part.status[every.facets[-1:]] == -1).all()
