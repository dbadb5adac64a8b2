"""The volume between a closed surface and the level set of an open one: against a grid, bounded, on any threads."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid import generalized_winding as module
from pricing_engine.kernels.solid.generalized_winding import mean_excess
from pricing_engine.kernels.solid.ray_crossings import SHEAR_X, SHEAR_Y
from pricing_engine.kernels.solid.winding import general_position
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.topology.caps import close_rims
from tests.naive.solid import generalized_winding
from tests.support.kernel_inputs import BALL, BOX, Floats
from tests.support.meshes import welded


def opened(corners: Floats, kept: Floats) -> tuple[Mesh, int]:
    """The facets where ``kept`` is true with caps over the holes, and the number of the first cap."""
    mesh = welded(corners[kept.astype(bool)])
    return close_rims(mesh), mesh.facet_count


def box_of_caps(closed: Mesh, first_cap: int) -> tuple[Floats, Floats]:
    """Lowest and highest corner of the caps, sheared."""
    moved = general_position(closed, build_bvh(closed, 1), 0.0, 1)[np.unique(closed.facets[first_cap:])]
    return moved.min(axis=0), moved.max(axis=0)


def naive_excess(closed: Mesh, first_cap: int, steps: int) -> float:
    """Count the cells of a grid over the (sheared) box of the caps where the open and the closed surface differ."""
    low, high = box_of_caps(closed, first_cap)
    axes = [low[k] + (np.arange(steps) + 0.5) / steps * (high[k] - low[k]) for k in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points[:, :2] += points[:, 2:] * [SHEAR_X, SHEAR_Y]
    corners = closed.vertices[closed.facets] - build_bvh(closed, 1).centre
    inside = np.rint(generalized_winding(corners, points)) >= 1
    level = generalized_winding(corners[:first_cap], points) >= 0.5
    return float((level.astype(int) - inside).mean() * np.prod(high - low))


@settings(max_examples=8)
@given(st.sampled_from([BALL, BOX, BOX[:, ::-1]]), st.integers(0, 1000), st.sampled_from([1.0, 1e3]))
def test_agrees_with_a_grid(shape: Floats, seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    corners = trimesh.remesh.subdivide(shape.reshape(-1, 3), np.arange(3 * len(shape)).reshape(-1, 3))
    corners = corners[0][corners[1]] * scale
    middle = corners.mean(axis=1)
    kept = (middle @ random.normal(size=3) < 0.2 * scale) | (middle[:, 2] < -0.3 * scale)
    closed, first_cap = opened(corners, kept)
    if first_cap in (0, closed.facet_count):
        return
    low, high = box_of_caps(closed, first_cap)
    bvh = build_bvh(closed, 1)
    found = mean_excess(closed, bvh, first_cap, 1)
    assert abs(found - naive_excess(closed, first_cap, 16)) <= 0.03 * float(np.prod(high - low))
    assert mean_excess(closed, bvh, first_cap, 3) == found


def test_a_flat_rim_changes_nothing() -> None:
    """Straight below a flat cap the open surface has the winding number 1/2."""
    closed, first_cap = opened(BOX, BOX.mean(axis=1)[:, 2] < 0.45)
    assert closed.facet_count - first_cap == 4
    assert mean_excess(closed, build_bvh(closed, 1), first_cap, 1) == pytest.approx(0.0, abs=1e-12)


def test_work_beyond_the_limit_ends_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = BALL.mean(axis=1)
    closed, first_cap = opened(BALL, (middle[:, 2] < 0.4) | (middle[:, 0] < -0.2))
    bvh = build_bvh(closed, 1)
    full = mean_excess(closed, bvh, first_cap, 1)
    monkeypatch.setattr(module, "_MAX_WORK", 1)
    low, high = box_of_caps(closed, first_cap)
    rough = mean_excess(closed, bvh, first_cap, 1)
    assert rough != full
    assert abs(rough - full) < 0.2 * float(np.prod(high - low))
