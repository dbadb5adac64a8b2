"""Finishing (``analysis/finishing.py``): the share of a surface that a polishing ball can touch."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pricing_engine.analysis.finishing import reached_shares, sample_surface
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.mesh.samples import lathe
from tests.naive.reach import touchable_share
from tests.support.meshes import canonical, concatenated, inside_out


def reach(solid: trimesh.Trimesh, *radii: float, threads: int = 1) -> dict[str, float]:
    mesh = canonical(solid)
    bvh = build_bvh(mesh, 1)
    samples = sample_surface(mesh, Boundary.everything(mesh.facet_count), bvh.centre, threads)
    shares = zip(radii, reached_shares(0, len(radii), threads, samples, bvh, radii), strict=True)
    return {str(radius): share for radius, share in shares if share is not None}


def test_all_of_a_convex_body_is_reached() -> None:
    assert reach(trimesh.creation.box((10, 10, 10)), 1.5, 3.0) == {"1.5": 1.0, "3.0": 1.0}


def test_a_bore_narrower_than_the_ball_is_not_reached() -> None:
    tube = trimesh.creation.annulus(2, 6, 10, sections=128)
    found = reach(tube, 1.5, 3.0)
    assert found["1.5"] == 1.0
    assert found["3.0"] == pytest.approx(1 - 2 * np.pi * 2 * 10 / tube.area, abs=0.004)


def test_a_closed_cavity_is_never_reached() -> None:
    outer, inner = trimesh.creation.icosphere(3, radius=10), inside_out(trimesh.creation.icosphere(3, radius=6))
    assert reach(concatenated([outer, inner]), 1.5)["1.5"] == pytest.approx(
        outer.area / (outer.area + inner.area), abs=1e-3
    )


def test_a_cavity_behind_a_hole_too_small_for_the_ball_is_not_reached() -> None:
    profile = np.array([[1, -10], [10, -10], [10, 10], [1, 10], [1, 8], [8, 8], [8, -8], [1, -8]], float)
    drilled = trimesh.Trimesh(*lathe(profile, 96), process=False)
    found = reach(drilled, 0.5, 3.0)
    assert found["0.5"] > 0.95
    assert found["3.0"] < 0.7


def test_any_number_of_threads_has_the_same_bits() -> None:
    knot = trimesh.creation.torus(8, 3)
    assert reach(knot, 1.5, 3.0) == reach(knot, 1.5, 3.0, threads=7)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_naive_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    solid = trimesh.creation.icosphere(3, radius=5)
    solid.vertices *= 1 + 0.25 * np.sin(solid.vertices @ random.normal(size=3))[:, None]
    assert reach(solid, 3.0)["3.0"] == pytest.approx(touchable_share(solid, 3.0), abs=0.03)
