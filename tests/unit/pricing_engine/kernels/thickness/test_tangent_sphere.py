"""The sphere tangent at a point that touches a facet: against a search; no facet that a sphere meets is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.compile import uncounted
from pricing_engine.kernels.runtime.simd import max8, splat8, sqrt8, store8
from pricing_engine.kernels.runtime.vec3 import cross, dot8, load3, splat3, sub
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh
from pricing_engine.kernels.thickness.normal_cones import FACING
from pricing_engine.kernels.thickness.tangent_sphere import LEAF_ROWS, NORMAL, gather_leaf, meet8, touch8
from tests.naive.thickness import closest_points
from tests.support.kernel_inputs import Floats, meshes, normals_of, randoms, triangles
from tests.support.meshes import unwelded, welded

# as compiled functions call them
_SPLAT8: Any = splat8
_SQRT8: Any = sqrt8
_STORE8: Any = store8
_GREATER8: Any = max8


@uncounted
def _touch(rows: Any, p: Any, m: Any, hits: Any, best: Any, size: Any, out: Any) -> Any:
    mask, diameters = touch8(rows, p, m, hits, best, size)
    _STORE8(out, 0, diameters)
    return mask


@uncounted
def _meet(corners: Any, base: Any, m: Any, c: Any, radius: Any, slack: Any) -> Any:
    a = load3(corners, 0, base)
    e, f = sub(load3(corners, 3, base), a), sub(load3(corners, 6, base), a)
    u = cross(e, f)
    area, longest = _SQRT8(dot8(u, u)), _SQRT8(_GREATER8(dot8(e, e), dot8(f, f)))
    return meet8(
        a, e, f, u, area, longest, splat3(m), splat3(c), _SPLAT8(radius), _SPLAT8(radius * radius), _SPLAT8(slack)
    )


def gathered(mesh: Mesh, bvh: Bvh, leaf: int) -> Floats:
    rows = np.empty((LEAF_ROWS, WIDTH))
    gather_leaf(leaf, mesh.vertices, mesh.facets, bvh.centre, bvh.diagonal, rows)
    return rows


def naive_diameters(corners: Floats, p: Floats, m: Floats) -> Floats:
    """Of the least spheres (n,) tangent to the plane at p, on the side of m, that touch triangles: by bisection."""
    walls = corners - p
    height = walls @ m
    with np.errstate(divide="ignore", invalid="ignore"):
        large = np.where(height > 1e-12, np.sum(walls**2, axis=2) / height, np.inf).min(axis=1)
    small, found = np.zeros(len(walls)), np.isfinite(large)
    for _ in range(60):
        middle = np.where(found, (small + large) / 2, 0.0)
        q = closest_points(walls, m * middle[:, None] / 2)
        touched = np.sum(q**2, axis=1) <= middle * (q @ m)
        small, large = np.where(touched, small, middle), np.where(touched & found, middle, large)
    diameters: Floats = large
    return diameters


def unit(vector: Floats) -> Floats:
    normalised: Floats = vector / np.linalg.norm(vector)
    return normalised


@settings(max_examples=40)
@given(meshes(1, 20))
def test_leaves_hold_corners_and_normals(mesh: Mesh) -> None:
    bvh = build_bvh(mesh, 1)
    corners = mesh.vertices[mesh.facets]
    normals = normals_of(corners)
    for leaf in range(-(-mesh.facet_count // WIDTH)):
        rows = gathered(mesh, bvh, leaf)
        for lane in range(WIDTH):
            facet = leaf * WIDTH + lane
            if facet >= mesh.facet_count:
                assert not rows[:, lane].any()
                continue
            assert rows[:NORMAL, lane].tolist() == (corners[facet] - bvh.centre).ravel().tolist()
            edges = corners[facet, [1, 2]] - corners[facet, 0]
            double = np.linalg.norm(np.cross(*edges))
            if double > 1e-6 * bvh.diagonal**2:
                assert rows[NORMAL:, lane] == pytest.approx(normals[facet], abs=1e-6)
            elif double == 0:
                assert not rows[NORMAL:, lane].any()


@settings(max_examples=25)
@given(triangles(1, 8, flat=False, far=False), randoms())
def test_diameters_agree_with_a_search(corners: Floats, random: np.random.Generator) -> None:
    mesh = welded(corners)
    bvh = build_bvh(mesh, 1)
    rows, size, normals = gathered(mesh, bvh, 0), bvh.diagonal, normals_of(corners)
    local, out = corners - bvh.centre, np.empty(WIDTH)
    everyone = (1 << len(corners)) - 1
    for _ in range(4):
        p, m = random.normal(size=3) * size / 4, unit(random.normal(size=3) + 2 * normals[0])
        mask = _touch(rows, tuple(p), tuple(m), everyone, np.inf, size, out)
        expected = naive_diameters(local, p, m)
        faces = normals @ m
        chosen = np.array([bool(mask >> lane & 1) for lane in range(len(corners))])
        assert not (chosen & (faces <= FACING - 1e-9)).any()
        firm = chosen & (expected < 1e6 * size)
        np.testing.assert_allclose(out[: len(corners)][firm], expected[firm], rtol=1e-7, atol=1e-10 * size)
        # facets that cannot have the least diameter are left out
        meant = expected[faces > FACING + 1e-9].min(initial=np.inf)
        if meant < 1e6 * size and not (np.abs(faces - FACING) < 1e-9).any():
            assert out[: len(corners)][chosen].min(initial=np.inf) == pytest.approx(meant, rel=1e-7, abs=1e-10 * size)
        assert mask >> len(corners) == 0
        if meant < 1e6 * size:  # a bound above the least changes it no more than none
            below = _touch(rows, tuple(p), tuple(m), everyone, meant * 1.5, size, out)
            found = min(out[lane] for lane in range(len(corners)) if below >> lane & 1)
            assert found == pytest.approx(meant, rel=1e-7, abs=1e-10 * size)
        assert _touch(rows, tuple(p), tuple(m), 0, np.inf, size, out) == 0


def test_spheres_through_a_plane_an_edge_and_a_corner_have_closed_forms() -> None:
    floor = np.array(
        [
            [[-9.0, -9, 2], [9, -9, 2], [0, 9, 2]],
            [[1, -9, 2], [9, 0, 2], [1, 9, 2]],
            [[1, 1, 2], [9, 5, 2], [9, 9, 2]],
        ]
    )
    mesh = unwelded(floor)
    bvh, out = build_bvh(mesh, 1), np.empty(WIDTH)
    mask = _touch(gathered(mesh, bvh, 0), tuple(-bvh.centre), (0.0, 0.0, 1.0), 7, np.inf, bvh.diagonal, out)
    assert mask == 7
    # above, at a distance a across and h up: (a^2 + h^2) / h
    assert out[:3] == pytest.approx([2, (1 + 4) / 2, (2 + 4) / 2], rel=1e-12)


@settings(max_examples=40)
@given(triangles(1, 24, flat=False, far=False), randoms())
def test_facets_that_face_and_meet_the_sphere_are_in_the_mask(corners: Floats, random: np.random.Generator) -> None:
    mesh = welded(corners)
    bvh = build_bvh(mesh, 1)
    local, normals, size = corners - bvh.centre, normals_of(corners), bvh.diagonal
    slack = np.float32(size * 2.0**-20)
    for _ in range(4):
        m = unit(random.normal(size=3) + 2 * normals[0]).astype(np.float32)
        c = (random.normal(size=3) * size / 3).astype(np.float32)
        radius = np.float32(random.uniform(0.05, 0.6) * size)
        away = np.linalg.norm(closest_points(local, np.tile(c.astype(float), (len(local), 1))) - c, axis=1)
        faces = normals @ m.astype(float)
        for base in range(0, len(corners), WIDTH):
            mask = _meet(bvh.corners, base, tuple(m), tuple(c), radius, slack)
            for lane in range(WIDTH):
                facet, found = base + lane, mask >> lane & 1
                if facet >= len(corners):
                    assert not found  # the padding
                elif faces[facet] > FACING + 1e-6 and away[facet] < radius * (1 - 1e-6):
                    assert found
                elif faces[facet] < FACING - 0.05 or away[facet] > radius * 1.05 + 1e-3 * size:
                    assert not found
