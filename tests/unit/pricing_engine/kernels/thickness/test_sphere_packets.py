"""Packets of spheres: bounds through seeds, what encloses the spheres, and leaves that shrink them to the twin's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import WIDTH, build_bvh
from pricing_engine.kernels.thickness.normal_cones import (
    FACING,
    LANE_DIRECTION,
    LANE_MIDDLE,
    LANE_RADIUS,
    LANE_SQUARE,
    build_normal_cones,
)
from pricing_engine.kernels.thickness.sphere_packets import (
    BEST,
    BOUND,
    INWARD,
    MEAN,
    MIDDLE,
    PACKET,
    POINT,
    SPREAD,
    SQUARE,
    Leaves,
    Packet,
    measure_held,
    set_enclosing_sphere,
    set_mean_direction,
    shrink,
    store_seed,
    through8,
)
from pricing_engine.kernels.thickness.tangent_sphere import LEAF_ROWS
from tests.naive import thickness as naive
from tests.support.kernel_inputs import Floats, meshes, randoms

SLACK = np.float32(1e-5)


def unit(vectors: Floats) -> Floats:
    lengths: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return lengths


def packet_of(points: Floats, inward: Floats, best: float, bound: float) -> Packet:
    """Sixteen spheres at points (16, 3) with directions (16, 3)."""
    exact, lanes = np.empty((8, PACKET)), np.empty((8, PACKET), np.float32)
    exact[POINT : POINT + 3], exact[INWARD : INWARD + 3] = points.T, inward.T
    exact[BEST], exact[BOUND] = best, bound
    lanes[LANE_DIRECTION : LANE_DIRECTION + 3], lanes[LANE_MIDDLE : LANE_MIDDLE + 3] = inward.T, points.T
    return Packet(exact, lanes, np.full(PACKET, -1, np.int64))


@settings(max_examples=40)
@given(randoms(), st.floats(0.01, 10), st.floats(0.01, 10))
def test_lanes_hold_their_spheres(random: np.random.Generator, best: float, bound: float) -> None:
    points, inward = random.normal(size=(PACKET, 3)), unit(random.normal(size=(PACKET, 3)))
    exact, lanes, _ = packet_of(points, inward, best, bound)
    radius = min(best, bound) / 2
    for lane in range(PACKET):
        shrink(lane, exact, lanes, SLACK)
    middle = points + radius * inward
    np.testing.assert_allclose(lanes[LANE_MIDDLE : LANE_MIDDLE + 3].T, middle, atol=1e-6)
    assert (lanes[LANE_RADIUS] > radius).all()
    assert lanes[LANE_RADIUS] == pytest.approx(radius, abs=3e-5)
    assert (lanes[LANE_SQUARE] == lanes[LANE_RADIUS] ** 2).all()


@settings(max_examples=40)
@given(randoms(), st.integers(0, 12))
def test_bounds_are_the_least_sphere_through_a_seed_that_faces(random: np.random.Generator, count: int) -> None:
    points, inward = random.normal(size=(PACKET, 3)), unit(random.normal(size=(PACKET, 3)))
    _, lanes, _ = packet_of(points, inward, np.inf, np.inf)
    places, normals = random.normal(size=(count, 3)) * 2, unit(random.normal(size=(count, 3)))
    seeds = np.empty((6, count), np.float32)
    for column in range(count):
        store_seed(seeds, column, tuple(places[column]), tuple(-normals[column]))
    np.testing.assert_array_equal(seeds, np.hstack([places, normals]).astype(np.float32).T)
    bounds = np.zeros((1, PACKET), np.float32)
    for first in (0, WIDTH):
        through8(lanes, first, seeds, SLACK, bounds)
    for lane in range(PACKET):
        offset = places - points[lane]
        height, facing = offset @ inward[lane], normals @ inward[lane]
        if (np.abs(facing - FACING) < 1e-4).any() or (np.abs(height - 64e-5) < 1e-4).any():
            continue
        chosen = (facing > FACING) & (height > 64 * SLACK)
        with np.errstate(divide="ignore"):
            least = ((offset**2).sum(axis=1) / height)[chosen].min(initial=np.inf)
        assert bounds[0, lane] >= least * (1 - 1e-6)  # raised by more than the rounding
        assert bounds[0, lane] <= least * 1.2 or np.isinf(least)


@settings(max_examples=40)
@given(randoms(), st.integers(1, 2**PACKET - 1))
def test_the_mean_and_the_enclosing_sphere_hold_all_active_lanes(random: np.random.Generator, active: int) -> None:
    points, inward = random.normal(size=(PACKET, 3)), unit(random.normal(size=(PACKET, 3)) + np.array([0, 0, 2]))
    exact, lanes, _ = packet_of(points, inward, float(random.uniform(0.1, 3)), np.inf)
    chosen = np.array([active >> lane & 1 for lane in range(PACKET)], bool)
    around = np.empty(8, np.float32)
    set_mean_direction(active, lanes, around)
    mean, chord = around[MEAN : MEAN + 3].astype(float), float(around[SPREAD])
    assert mean == pytest.approx(inward.mean(axis=0), abs=1e-6)
    away = np.linalg.norm(inward - mean, axis=1)[chosen].max()
    assert away <= chord <= away + 1e-5
    for lane in range(PACKET):
        shrink(lane, exact, lanes, SLACK)
    lanes[LANE_MIDDLE : LANE_MIDDLE + 3, ~chosen] = 0
    lanes[LANE_RADIUS, ~chosen] = -1e30
    set_enclosing_sphere(active, lanes, around)
    middle, square = around[MIDDLE : MIDDLE + 3].astype(float), float(around[SQUARE])
    own = lanes[LANE_MIDDLE : LANE_MIDDLE + 3].T.astype(float)[chosen]
    assert middle == pytest.approx(own.mean(axis=0), abs=1e-5)
    reach = (np.linalg.norm(own - middle, axis=1) + lanes[LANE_RADIUS, chosen]).max()
    assert reach <= np.sqrt(square) <= reach * (1 + 1e-4)


@settings(max_examples=8)
@given(meshes(16, 18, flat=False, far=False), st.booleans())
def test_measuring_every_leaf_leaves_the_diameters_of_the_naive_twin(mesh: Mesh, backwards: bool) -> None:
    bvh = build_bvh(mesh, 1)
    size = bvh.diagonal
    leaves = Leaves(build_normal_cones(mesh, bvh, 1), bvh.corners, mesh.vertices, mesh.facets, bvh.centre, size)
    _, centroids, normals = naive.frames(mesh)
    packet = packet_of((centroids - bvh.centre)[:PACKET], -normals[:PACKET], np.inf, 1e3 * size)
    slack = np.float32(size * 2.0**-20)
    for lane in range(PACKET):
        shrink(lane, packet.exact, packet.lanes, slack)
    held = np.arange(-(-mesh.facet_count // WIDTH))
    held = np.ascontiguousarray(held[::-1] if backwards else held)
    tests = measure_held(held, len(held), packet, leaves, slack, np.empty((LEAF_ROWS, WIDTH)))
    assert tests <= PACKET * len(held)
    expected = naive.sphere_thickness(mesh, np.full(mesh.facet_count, np.inf), 45)[:PACKET]
    found = packet.exact[BEST]
    clear = (expected > 1e-5 * size) & ((expected < 100 * size) | np.isinf(expected))
    np.testing.assert_allclose(found[clear], expected[clear], rtol=1e-6)
    assert ((packet.touched >= 0) == np.isfinite(found)).all()
    again = measure_held(held[:1], 0, packet, leaves, slack, np.empty((LEAF_ROWS, WIDTH)))
    assert again == 0
