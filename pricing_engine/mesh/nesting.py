"""Determine which shells cross, touch and enclose one another, independent of position and rotation.

A shell lies in another if all of its surface that is not on the other's is inside. One point decides for a shell
without others near it. Of shells near another, each patch clear of it has one witness point and each facet next to it
four; points within 1e-6 of the model's size of the other surface do not count, so that rounding decides nothing where
shells touch. Shells cross where facets intersect by more than that, or where points of the smaller shell lie on both
sides of the larger. Holes are closed first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.pair_search import NEAR, Pairs, find_pairs
from pricing_engine.kernels.intersection.piercing import mark_piercing
from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.runtime.search_counters import record, work_array, work_limit
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.shell_containment import (
    GRAIN_POINTS,
    INSIDE,
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
from pricing_engine.kernels.solid.winding import general_position, run_bounded
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.kernels.topology.caps import close_rims
from pricing_engine.kernels.topology.connected_components import label_bodies
from pricing_engine.kernels.topology.patches import largest_members
from pricing_engine.mesh.integrity import edge_keys
from pricing_engine.mesh.places import first_members
from pricing_engine.mesh.shells import Shells

STEPS_PER_FACET, MIN_STEPS = 16.0, 20_000_000
"""Limit of boxes and facets tested, 20 to 90 ns each: n log2 n times the first, at least the second."""

_GRAIN_PAIRS = 16384
_SAMPLE_WEIGHTS = np.array([[1, 1, 1], [2.8, 0.1, 0.1], [0.1, 2.8, 0.1], [0.1, 0.1, 2.8]]) / 3
_CHUNK_LIMIT_DIVISOR = 8


@dataclass(frozen=True, slots=True)
class Nesting:
    """Which shells enclose, cross and touch one another.

    ``holder`` (S,) int32: the smallest shell that encloses a shell, -1 where there is none. ``crosses`` (S,) bool:
    whether it intersects another. ``near`` (K, 2): pairs of shells that cross or touch.
    """

    holder: Ints
    crosses: NDArray[np.bool_]
    near: NDArray[np.int64]

    @property
    def enclosed(self) -> NDArray[np.bool_]:
        """Return for each shell (S,) whether another encloses it and it crosses none."""
        return (self.holder >= 0) & ~self.crosses


class _Witnesses(NamedTuple):
    """Points (N, 3) mm on facets of ``shell`` (N,); ``near_row`` (N,): row of near facets, -1 for none."""

    points: Floats
    shell: NDArray[np.int64]
    near_row: NDArray[np.int64]


def nest(mesh: Mesh, shells: Shells, bvh: Bvh, pairs: Pairs, threads: int) -> Nesting | None:
    """Determine how the shells of a mesh enclose one another; None beyond the limit :data:`STEPS_PER_FACET`.

    ``pairs``: facets that may intersect, from ``find_pairs`` on the same mesh. Expected O(n log n + pairs).
    """
    if not pairs.complete:
        return None
    first, second = _between_shells(shells, pairs)
    first_shell, second_shell = shells.of_facet[first].astype(np.int64), shells.of_facet[second].astype(np.int64)
    keys = np.unique(
        np.minimum(first_shell, second_shell) * shells.count + np.maximum(first_shell, second_shell)
    )  # np.unique over rows is fifty times slower
    near = np.stack(np.divmod(keys, shells.count), axis=1)
    solid = shells.side != 0
    selected = solid[shells.of_facet[first]] & solid[shells.of_facet[second]]
    first, second = first[selected], second[selected]
    tolerance = NEAR * float(np.abs(mesh.vertices - bvh.centre).max(initial=0.0))
    crosses = _piercing_shells(mesh, shells, first, second, tolerance, threads)
    candidate_start, candidates = _possible_holders(shells, first, second)
    facets, near_start, near_facets = _group_pairs(first, second)
    witnesses = _choose_witnesses(mesh, shells, crosses, facets, threads)
    max_steps = work_limit(mesh.facet_count, STEPS_PER_FACET, MIN_STEPS)
    located = _locate(
        mesh,
        shells,
        bvh,
        witnesses,
        (near_start, near_facets),
        (candidate_start, candidates),
        tolerance,
        max_steps,
        threads,
    )
    if located is None:
        return None
    state, state_start, point_holder = located
    holder = _find_holders(shells, witnesses, state, state_start, point_holder, candidate_start, candidates, crosses)
    return Nesting(holder, crosses, near)


def pairs_near(mesh: Mesh, shells: Shells, bvh: Bvh, selected_shells: NDArray[np.bool_], threads: int) -> Pairs:
    """Return the pairs of facets that may intersect in or near the boxes of ``selected_shells`` (S,).

    They suffice to determine what encloses, crosses or touches these shells, and what these enclose.
    """
    boxes = np.empty((shells.count, 6))
    measure_boxes(mesh.vertices, mesh.facets, shells.of_facet, boxes)
    tree = box_tree(boxes[selected_shells], threads)
    size = float(np.abs(mesh.vertices - bvh.centre).max(initial=0.0))
    marked, local = np.zeros(mesh.facet_count, np.bool_), mesh.vertices - tree.centre
    arguments = (local, mesh.facets, NEAR * size, tree, marked)
    run_ranges(mark_overlapping, mesh.facet_count, _GRAIN_PAIRS, threads, *arguments)
    selected = np.flatnonzero(marked).astype(np.int32)
    part = Mesh(mesh.vertices, mesh.facets[selected])
    low, high = (mesh.vertices[part.facets].min(axis=(0, 1)), mesh.vertices[part.facets].max(axis=(0, 1)))
    part_bvh = build_bvh(part, threads)
    part_size = float(np.maximum(high - part_bvh.centre, part_bvh.centre - low).max())
    pairs = find_pairs(part, part_bvh, threads, NEAR * max(1.0, size / part_size))
    equal_facets = None if pairs.same is None else selected[pairs.same]
    return Pairs(selected[pairs.first], selected[pairs.second], pairs.complete, equal_facets)


def box_tree(boxes: Floats, threads: int) -> Bvh:
    """Build a BVH over boxes (n, 6), lowest and highest corners."""
    corners = np.arange(2 * len(boxes), dtype=np.int32).reshape(-1, 2)
    return build_bvh(Mesh(boxes.reshape(-1, 3), corners[:, [0, 1, 0]]), threads)


def _between_shells(shells: Shells, pairs: Pairs) -> tuple[Ints, Ints]:
    separate = shells.of_facet[pairs.first] != shells.of_facet[pairs.second]
    return pairs.first[separate], pairs.second[separate]


def _piercing_shells(
    mesh: Mesh, shells: Shells, first: Ints, second: Ints, tolerance: float, threads: int
) -> NDArray[np.bool_]:
    piercing = np.zeros(len(first), np.bool_)
    arguments = (mesh.vertices, mesh.facets, first, second, tolerance, piercing)
    run_ranges(mark_piercing, len(first), _GRAIN_PAIRS, threads, *arguments)
    record("piercing", np.array([[0, len(first)]]))
    crosses = np.zeros(shells.count, np.bool_)
    crosses[shells.of_facet[first[piercing]]] = True
    crosses[shells.of_facet[second[piercing]]] = True
    return crosses


def _possible_holders(shells: Shells, first: Ints, second: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each shell the near shells that are not smaller and may enclose it: offsets (S + 1,) and shells."""
    first_shell, second_shell = shells.of_facet[first].astype(np.int64), shells.of_facet[second].astype(np.int64)
    small, large = np.concatenate([first_shell, second_shell]), np.concatenate([second_shell, first_shell])
    selected = shells.size[small] <= shells.size[large]
    keys = np.unique(small[selected] * shells.count + large[selected])
    start = np.searchsorted(keys, np.arange(shells.count + 1) * shells.count)
    return start, keys % max(shells.count, 1)


def _group_pairs(first: Ints, second: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64], Ints]:
    """Return the facets near other shells, offsets, and the list of near facets of each."""
    facet, neighbour = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.argsort(facet, kind="stable")
    facets, start = np.unique(facet[order], return_index=True)
    return facets.astype(np.int64), np.append(start, len(facet)).astype(np.int64), neighbour[order]


def _choose_witnesses(
    mesh: Mesh, shells: Shells, crosses: NDArray[np.bool_], near: NDArray[np.int64], threads: int
) -> _Witnesses:
    """Choose one point of each patch clear of other shells, four of each ``near`` facet, one of each crossing shell."""
    clear = np.ones(mesh.facet_count, np.bool_)
    clear[near] = False
    patch, count = shells.of_facet, shells.count
    if len(near):
        links = np.where(clear[:, None] & (shells.links >= 0) & clear[shells.links], shells.links, np.int32(-1))
        patch, count = label_bodies(links, threads)
    best, area = np.empty(count, np.int64), np.empty(count)
    largest_members(mesh.facets, mesh.vertices, patch, best, area)
    is_relevant = ~crosses & (shells.side != 0)
    best = best[clear[best] & is_relevant[shells.of_facet[best]]]
    best = np.concatenate([best, first_members(shells.of_facet, shells.count)[crosses]])
    rows = np.flatnonzero(is_relevant[shells.of_facet[near]])
    centroids = mesh.vertices[mesh.facets[best]].mean(axis=1)
    samples = np.einsum("sc,ncx->nsx", _SAMPLE_WEIGHTS, mesh.vertices[mesh.facets[near[rows]]]).reshape(-1, 3)
    sample_count = len(_SAMPLE_WEIGHTS)
    shell = np.concatenate([shells.of_facet[best], np.repeat(shells.of_facet[near[rows]], sample_count)]).astype(
        np.int64
    )
    near_row = np.concatenate([np.full(len(best), -1), np.repeat(rows, sample_count)])
    return _Witnesses(np.concatenate([centroids, samples]), shell, near_row)


def _locate(
    mesh: Mesh,
    shells: Shells,
    bvh: Bvh,
    witnesses: _Witnesses,
    near: tuple[NDArray[np.int64], Ints],
    candidates: tuple[NDArray[np.int64], NDArray[np.int64]],
    tolerance: float,
    max_steps: int,
    threads: int,
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]] | None:
    """Return each point's ``state`` to its candidate shells, offsets (N + 1,), and the shell around each point (N,)."""
    count = len(witnesses.shell)
    of_facet = shells.of_facet
    if not shells.closed.all():
        mesh, of_facet = _close_holes(mesh, shells)
        bvh = build_bvh(mesh, threads)
    boxes = np.empty((shells.count, 6))
    measure_boxes(mesh.vertices, mesh.facets, of_facet, boxes)
    tree = box_tree(boxes, threads)
    by_shell = np.argsort(of_facet, kind="stable")
    shell_start = np.searchsorted(of_facet[by_shell], np.arange(shells.count + 1))
    state_start = np.concatenate([[0], np.cumsum(np.diff(candidates[0])[witnesses.shell])])
    if state_start[-1] > max_steps:
        return None
    state, holder = np.full(int(state_start[-1]), OUTSIDE, np.int8), np.full(count, -1, np.int64)
    work = work_array(count, GRAIN_POINTS)
    moved = general_position(mesh, bvh, 0.0, threads)
    completed = run_bounded(
        locate_points, count, threads, max_steps, work,
        Points(witnesses.points - bvh.centre, witnesses.shell, witnesses.near_row),
        Contacts(*near, *candidates, tolerance),
        SearchMesh(mesh.vertices - bvh.centre, moved, mesh.facets, bvh),
        ShellTree(of_facet, by_shell, shell_start, shells.size, boxes - np.tile(bvh.centre, 2), tree),
        max_steps // _CHUNK_LIMIT_DIVISOR, Containment(state_start, state, holder), work, search="nesting",
    )  # fmt: skip
    return (state, state_start, holder) if completed else None


def _close_holes(mesh: Mesh, shells: Shells) -> tuple[Mesh, Ints]:
    """Close the holes; return the mesh and each facet's shell: a cap belongs to the shell of its rim's edge."""
    closed = close_rims(mesh)
    caps = closed.facets[mesh.facet_count :]
    facet, corner = np.nonzero(shells.links < 0)
    keys = edge_keys(mesh, facet, corner)
    order = np.argsort(keys, kind="stable")
    cap_keys = caps[:, :2].min(axis=1).astype(np.int64) * len(mesh.vertices) + caps[:, :2].max(axis=1)
    position = np.minimum(np.searchsorted(keys[order], cap_keys), len(keys) - 1)
    return closed, np.concatenate([shells.of_facet, shells.of_facet[facet[order[position]]]])


def _find_holders(
    shells: Shells,
    witnesses: _Witnesses,
    state: NDArray[np.int8],
    state_start: NDArray[np.int64],
    point_holder: NDArray[np.int64],
    candidate_start: NDArray[np.int64],
    candidates: NDArray[np.int64],
    crosses: NDArray[np.bool_],
) -> Ints:
    """Return each shell's holder; mark in ``crosses`` shells on both sides of another, or completely on its surface."""
    entry_point = np.repeat(np.arange(len(witnesses.shell)), np.diff(state_start))
    rank = np.arange(len(state)) - state_start[entry_point]
    entry = candidate_start[witnesses.shell[entry_point]] + rank  # each state belongs to one pair of shells
    inside = np.bincount(entry[state == INSIDE], minlength=len(candidates)) > 0
    outside = np.bincount(entry[state == OUTSIDE], minlength=len(candidates)) > 0
    small = np.repeat(np.arange(shells.count), np.diff(candidate_start))
    undecided = ~crosses[small]
    ambiguous = undecided & (inside == outside)
    crosses[small[ambiguous]] = True
    crosses[candidates[ambiguous]] = True
    size = np.append(shells.size, np.inf)
    holder = np.full(shells.count, -1, np.int32)
    shell_ids, point = np.unique(witnesses.shell, return_index=True)
    holder[shell_ids] = point_holder[point]
    for pair in np.flatnonzero(undecided & inside & ~outside):
        if size[candidates[pair]] < size[holder[small[pair]]]:
            holder[small[pair]] = candidates[pair]
    return holder
