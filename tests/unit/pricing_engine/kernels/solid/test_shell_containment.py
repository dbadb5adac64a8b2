"""In which shells points lie, on which surface, and which facets meet boxes: against tests of every shell and box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.runtime.search_counters import NODES, work_array
from pricing_engine.kernels.solid.shell_containment import (
    GRAIN_POINTS,
    INSIDE,
    ON,
    OUTSIDE,
    Contacts,
    Containment,
    Points,
    SearchMesh,
    ShellTree,
    locate_points,
    mark_overlapping,
    measure_boxes,
)
from pricing_engine.kernels.solid.winding import general_position
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.mesh.nesting import box_tree
from tests.naive.reach import squared_distance
from tests.naive.solid import generalized_winding, signed_volume
from tests.support.kernel_inputs import BALL, BOX, TETRAHEDRON, Floats, meshes, randoms, shells
from tests.support.meshes import welded

Longs = NDArray[np.int64]
PLENTY = 1 << 40


class Located(NamedTuple):
    holder: list[int]
    state: list[int]
    work: Longs


def facet_shell(parts: list[Floats]) -> Ints:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts]).astype(np.int32)


def locate(
    parts: list[Floats],
    points: Floats,
    own: Longs,
    size: Floats,
    touched: list[list[int]],
    near: list[list[int]],
    row: Longs,
    reach: float = 0.0,
    budget: int = PLENTY,
) -> Located:
    """Run :func:`locate_points`; ``touched``: shells by shell; ``near``: facets by row."""
    mesh, of_facet = welded(*parts), facet_shell(parts)
    bvh = build_bvh(mesh, 1)
    boxes = np.empty((len(parts), 6))
    measure_boxes(mesh.vertices, mesh.facets, of_facet, boxes)
    by_shell = np.argsort(of_facet, kind="stable")
    start = np.searchsorted(of_facet[by_shell], np.arange(len(parts) + 1))

    def rows(lists: list[list[int]]) -> tuple[Longs, list[int]]:
        return np.cumsum([0, *map(len, lists)]), [x for entries in lists for x in entries]

    shell_start, shell_list = rows(touched)
    near_start, near_list = rows(near)
    state_start = np.cumsum([0, *(len(touched[s]) for s in own)])
    state, holder = np.full(int(state_start[-1]), OUTSIDE, np.int8), np.full(len(points), -1, np.int64)
    work = work_array(len(points), GRAIN_POINTS)
    arguments = (
        Points(points - bvh.centre, own, row),
        Contacts(near_start, np.array(near_list, np.int32), shell_start, np.array(shell_list, np.int64), reach),
        SearchMesh(mesh.vertices - bvh.centre, general_position(mesh, bvh, 0.0, 1), mesh.facets, bvh),
        ShellTree(of_facet, by_shell, start, size, boxes - np.tile(bvh.centre, 2), box_tree(boxes, 1)),
        budget,
        Containment(state_start, state, holder),
        work,
    )
    for lo in range(0, len(points), GRAIN_POINTS):
        locate_points(lo, min(lo + GRAIN_POINTS, len(points)), 0, *arguments)
    return Located(holder.tolist(), state.tolist(), work)


def windings(parts: list[Floats], points: Floats) -> Longs:
    """Winding number (shells, points) of each shell."""
    return np.array([np.rint(generalized_winding(part, points)) for part in parts], np.int64)


def in_box_tree_frame(parts: list[Floats]) -> list[Floats]:
    """The shells about the middle of their box, where the tree over the shells' boxes and that of the facets agree."""
    corners = np.concatenate(parts).reshape(-1, 3)
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return [part - middle for part in parts]


@settings(max_examples=30)
@given(shells(1, 7, shapes=(TETRAHEDRON, BOX, BALL)), randoms())
def test_the_holder_is_the_smallest_shell_around_a_point(parts: list[Floats], random: np.random.Generator) -> None:
    parts = in_box_tree_frame(parts)
    size = np.array([abs(signed_volume(part)) for part in parts]) + np.arange(len(parts)) * 1e-9
    size[random.random(len(parts)) < 0.1] = 0.0  # these hold nothing
    own = random.integers(0, len(parts), 60)
    weights = random.dirichlet(np.ones(3), 60)
    points = np.array([w @ parts[s][random.integers(len(parts[s]))] for w, s in zip(weights, own, strict=True)])
    points += random.normal(0, 0.02, points.shape)  # on no plane of another shell
    nothing: list[list[int]] = [[]] * len(parts)
    located = locate(parts, points, own, size, nothing, [], np.full(60, -1))
    winding = windings(parts, points)
    near = np.array(
        [np.abs(generalized_winding(part, points) - w) > 0.02 for part, w in zip(parts, winding, strict=True)]
    )
    for i in range(60):
        others = [t for t in range(len(parts)) if t != own[i] and size[t] > 0 and size[t] >= size[own[i]]]
        if near[others, i].any():  # so near a surface that the sum of the angles is inexact
            continue
        around = [t for t in others if winding[t, i] != 0]
        assert located.holder[i] == min(around, key=lambda t: size[t], default=-1)
    assert (located.work[:, [NODES]] > 0).all()


@settings(max_examples=30)
@given(shells(2, 5, shapes=(TETRAHEDRON, BOX, BALL)), randoms())
def test_points_lie_inside_outside_or_on_the_shells_touched(parts: list[Floats], random: np.random.Generator) -> None:
    parts = in_box_tree_frame(parts)
    count, size = len(parts), np.array([abs(signed_volume(part)) for part in parts])
    touched = [
        [t for t in range(count) if t != s and size[t] >= size[s] and random.random() < 0.7] for s in range(count)
    ]
    corners, of_facet = np.concatenate(parts), facet_shell(parts)
    near = [random.choice(len(corners), 5, replace=False).tolist() for _ in range(4)]
    own, row = random.integers(0, count, 30), random.integers(-1, 4, 30)
    reach = 0.3
    points = np.array([parts[s][random.integers(len(parts[s]))].mean(axis=0) for s in own])
    points += random.normal(0, 0.02, points.shape)
    located = locate(parts, points, own, size, touched, near, row, reach)
    exact = np.array([generalized_winding(part, points) for part in parts])
    states = iter(located.state)
    for i, point in enumerate(points):
        beside = {
            int(of_facet[f])
            for f in (near[row[i]] if row[i] >= 0 else [])
            if squared_distance(point, *corners[f]) <= reach * reach
        }
        for t in touched[own[i]]:
            state = next(states)
            if t in beside:
                assert state == ON
            elif abs(exact[t, i] - round(exact[t, i])) < 0.02:
                assert state == (INSIDE if round(exact[t, i]) else OUTSIDE)


def test_beyond_the_budget_points_are_left_out() -> None:
    parts = in_box_tree_frame([BOX, BOX * 3])
    size, points = np.array([1.0, 27.0]), np.zeros((20, 3))
    own, none, nothing = np.zeros(20, np.int64), np.full(20, -1), [list[int]()] * 2
    assert locate(parts, points, own, size, nothing, [], none).holder == [1] * 20
    assert locate(parts, points, own, size, nothing, [], none, budget=0).holder == [1] + [-1] * 19


def test_nested_shells_inside_out_hold_too_and_equal_points_have_equal_holders() -> None:
    parts = in_box_tree_frame([BOX * 0.5, BOX[:, ::-1] * 2, BALL * 4, BALL[:, ::-1] * 5])
    size = np.array([abs(signed_volume(part)) for part in parts])
    own = np.array([0, 0, 1, 2, 3])
    points = np.array([[0.25, 0, 0], [0.25, 0, 0], [1, 0.1, 0.2], [0, 0, 3.9], [0, 0, 4.9]])
    located = locate(parts, points, own, size, [[]] * 4, [], np.full(5, -1))
    assert located.holder == [1, 1, 2, 3, -1]


@settings(max_examples=40)
@given(meshes(1, 30), randoms())
def test_boxes_are_those_of_each_shells_corners(mesh: Mesh, random: np.random.Generator) -> None:
    count = 5
    shell = random.integers(0, count - 1, mesh.facet_count).astype(np.int32)
    boxes = np.full((count, 6), np.nan)
    measure_boxes(mesh.vertices, mesh.facets, shell, boxes)
    for s in range(count):
        corners = mesh.vertices[mesh.facets[shell == s]].reshape(-1, 3)
        low, high = corners.min(axis=0, initial=np.inf), corners.max(axis=0, initial=-np.inf)
        assert boxes[s].tolist() == [*low, *high]


@pytest.mark.parametrize("margin", [0.0, 0.25])
@settings(max_examples=40)
@given(mesh=meshes(0, 25, far=False), random=randoms(), count=st.integers(1, 30))
def test_facets_that_overlap_a_box_are_marked(
    margin: float, mesh: Mesh, random: np.random.Generator, count: int
) -> None:
    low = random.integers(-4, 4, (count, 3)) / 2 * 1.0
    tree = box_tree(np.hstack([low, low + random.integers(0, 3, (count, 3)) / 2]), 1)
    leaves = tree.boxes[:, : -(-count // 8)].astype(np.float64)
    marked = np.ones(mesh.facet_count, np.bool_)
    local = mesh.vertices - tree.centre
    mark_overlapping(0, mesh.facet_count, local, mesh.facets, margin, tree, marked)
    corners = local[mesh.facets]
    least, most = corners.min(axis=1) - margin, corners.max(axis=1) + margin
    meets = (most[:, None] >= leaves[:3].T) & (least[:, None] <= leaves[3:].T)
    assert marked.tolist() == meets.all(axis=2).any(axis=1).tolist()
