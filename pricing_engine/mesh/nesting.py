"""Which shells cross, touch and hold one another, wherever the model lies and however it is turned.

A shell lies in another if all of its surface that is not on the other's is inside. Shells with nothing near them need
one point to tell. Of those that come near another, each patch that stays clear of it has a point, and each facet next
to it has four; those on the other's surface, within 1e-6 of the model's size, say nothing, so that rounding decides
nothing where shells touch. Shells run through each other where facets do by more than that, or where points of the
smaller lie on both sides of the larger. Holes are closed first.
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
    ShellTree,
    Surface,
    locate_points,
    mark_overlapping,
    measure_boxes,
)
from pricing_engine.kernels.solid.winding import general_position, run_bounded
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.kernels.topology.caps import close_rims
from pricing_engine.kernels.topology.connected_components import label_bodies
from pricing_engine.kernels.topology.patches import largest_members
from pricing_engine.mesh.places import first_members
from pricing_engine.mesh.shells import Shells

STEPS_PER_FACET, LEAST_STEPS = 16.0, 20_000_000
"""Boxes opened and facets tried, 20 to 90 ns each: n log2 n times the first, at least the second."""

_GRAIN_PAIRS = 16384
_SAMPLES = np.array([[1, 1, 1], [2.8, 0.1, 0.1], [0.1, 2.8, 0.1], [0.1, 0.1, 2.8]]) / 3
_CHUNK_SHARE = 8


@dataclass(frozen=True, slots=True)
class Nesting:
    """``holder`` (S,) int32: the smallest shell that a shell lies wholly in, -1 where there is none. ``crosses`` (S,)
    bool: whether it runs through another. ``near`` (K, 2): pairs of shells that cross or touch.
    """

    holder: Ints
    crosses: NDArray[np.bool_]
    near: NDArray[np.int64]

    @property
    def enclosed(self) -> NDArray[np.bool_]:
        """Which shells (S,) lie wholly in another and cross none."""
        return (self.holder >= 0) & ~self.crosses


class _Witnesses(NamedTuple):
    """Points (N, 3) mm on facets of shells ``own`` (N,); ``row`` (N,) of the facets next to theirs, -1 for none."""

    points: Floats
    own: NDArray[np.int64]
    row: NDArray[np.int64]


def nest(mesh: Mesh, shells: Shells, bvh: Bvh, pairs: Pairs, threads: int) -> Nesting | None:
    """How the shells of a mesh lie to one another; None where it takes more than :data:`STEPS_PER_FACET` to tell.

    ``pairs``: of facets that may meet, from ``find_pairs`` over the same mesh. Expected O(n log n + pairs).
    """
    if not pairs.complete:
        return None
    first, second = _between_shells(shells, pairs)
    one, other = shells.of_facet[first].astype(np.int64), shells.of_facet[second].astype(np.int64)
    keys = np.unique(
        np.minimum(one, other) * shells.count + np.maximum(one, other)
    )  # rows would sort fifty times slower
    near = np.stack(np.divmod(keys, shells.count), axis=1)
    solid = shells.side != 0
    kept = solid[shells.of_facet[first]] & solid[shells.of_facet[second]]
    first, second = first[kept], second[kept]
    reach = NEAR * float(np.abs(mesh.vertices - bvh.centre).max(initial=0.0))
    crosses = _piercing_shells(mesh, shells, first, second, reach, threads)
    asked_start, asked = _asked(shells, first, second)
    facets, near_start, near_facets = _grouped(first, second)
    witnesses = _witnesses(mesh, shells, crosses, facets, threads)
    most = work_limit(mesh.facet_count, STEPS_PER_FACET, LEAST_STEPS)
    found = _locate(mesh, shells, bvh, witnesses, (near_start, near_facets), (asked_start, asked), reach, most, threads)
    if found is None:
        return None
    state, state_start, held_by = found
    holder = _relate(shells, witnesses, state, state_start, held_by, asked_start, asked, crosses)
    return Nesting(holder, crosses, near)


def pairs_about(mesh: Mesh, shells: Shells, bvh: Bvh, which: NDArray[np.bool_], threads: int) -> Pairs:
    """The pairs of facets that may meet in or near the boxes of the shells ``which`` (S,): enough to determine what
    holds, crosses or touches these and what they hold.
    """
    boxes = np.empty((shells.count, 6))
    measure_boxes(mesh.vertices, mesh.facets, shells.of_facet, boxes)  # type: ignore[no-untyped-call]
    tree = box_tree(boxes[which], threads)
    size = float(np.abs(mesh.vertices - bvh.centre).max(initial=0.0))
    marked, local = np.zeros(mesh.facet_count, np.bool_), mesh.vertices - tree.centre
    arguments = (local, mesh.facets, NEAR * size, tree, marked)
    run_ranges(mark_overlapping, mesh.facet_count, _GRAIN_PAIRS, threads, *arguments)
    kept = np.flatnonzero(marked).astype(np.int32)
    part = Mesh(mesh.vertices, mesh.facets[kept])
    low, high = (mesh.vertices[part.facets].min(axis=(0, 1)), mesh.vertices[part.facets].max(axis=(0, 1)))
    its_bvh = build_bvh(part, threads)
    its_size = float(np.maximum(high - its_bvh.centre, its_bvh.centre - low).max())
    pairs = find_pairs(part, its_bvh, threads, NEAR * max(1.0, size / its_size))
    same = None if pairs.same is None else kept[pairs.same]
    return Pairs(kept[pairs.first], kept[pairs.second], pairs.complete, same)


def box_tree(boxes: Floats, threads: int) -> Bvh:
    """A tree over boxes (n, 6), lowest and highest corners."""
    corners = np.arange(2 * len(boxes), dtype=np.int32).reshape(-1, 2)
    return build_bvh(Mesh(boxes.reshape(-1, 3), corners[:, [0, 1, 0]]), threads)


def _between_shells(shells: Shells, pairs: Pairs) -> tuple[Ints, Ints]:
    apart = shells.of_facet[pairs.first] != shells.of_facet[pairs.second]
    return pairs.first[apart], pairs.second[apart]


def _piercing_shells(
    mesh: Mesh, shells: Shells, first: Ints, second: Ints, reach: float, threads: int
) -> NDArray[np.bool_]:
    piercing = np.zeros(len(first), np.bool_)
    arguments = (mesh.vertices, mesh.facets, first, second, reach, piercing)
    run_ranges(mark_piercing, len(first), _GRAIN_PAIRS, threads, *arguments)
    record("piercing", np.array([[0, len(first)]]))
    crosses = np.zeros(shells.count, np.bool_)
    crosses[shells.of_facet[first[piercing]]] = True
    crosses[shells.of_facet[second[piercing]]] = True
    return crosses


def _asked(shells: Shells, first: Ints, second: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The shells that come near each and are not smaller, so that they may hold it: offsets (S + 1,) and shells."""
    one, two = shells.of_facet[first].astype(np.int64), shells.of_facet[second].astype(np.int64)
    small, large = np.concatenate([one, two]), np.concatenate([two, one])
    kept = shells.size[small] <= shells.size[large]
    keys = np.unique(small[kept] * shells.count + large[kept])
    start = np.searchsorted(keys, np.arange(shells.count + 1) * shells.count)
    return start, keys % max(shells.count, 1)


def _grouped(first: Ints, second: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64], Ints]:
    """The facets next to other shells, offsets into, and the list of, the facets next to each."""
    one, two = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.argsort(one, kind="stable")
    facets, start = np.unique(one[order], return_index=True)
    return facets.astype(np.int64), np.append(start, len(one)).astype(np.int64), two[order]


def _witnesses(
    mesh: Mesh, shells: Shells, crosses: NDArray[np.bool_], near: NDArray[np.int64], threads: int
) -> _Witnesses:
    """A point of each patch clear of other shells and four of each facet ``near`` one; one point where that crosses."""
    clear = np.ones(mesh.facet_count, np.bool_)
    clear[near] = False
    patch, count = shells.of_facet, shells.count
    if len(near):
        links = np.where(clear[:, None] & (shells.links >= 0) & clear[shells.links], shells.links, np.int32(-1))
        patch, count = label_bodies(links, threads)
    best, area = np.empty(count, np.int64), np.empty(count)
    largest_members(mesh.facets, mesh.vertices, patch, best, area)  # type: ignore[no-untyped-call]
    wanted = ~crosses & (shells.side != 0)
    best = best[clear[best] & wanted[shells.of_facet[best]]]
    best = np.concatenate([best, first_members(shells.of_facet, shells.count)[crosses]])
    rows = np.flatnonzero(wanted[shells.of_facet[near]])
    middles = mesh.vertices[mesh.facets[best]].mean(axis=1)
    around = np.einsum("sc,ncx->nsx", _SAMPLES, mesh.vertices[mesh.facets[near[rows]]]).reshape(-1, 3)
    each = len(_SAMPLES)
    own = np.concatenate([shells.of_facet[best], np.repeat(shells.of_facet[near[rows]], each)]).astype(np.int64)
    row = np.concatenate([np.full(len(best), -1), np.repeat(rows, each)])
    return _Witnesses(np.concatenate([middles, around]), own, row)


def _locate(
    mesh: Mesh,
    shells: Shells,
    bvh: Bvh,
    witnesses: _Witnesses,
    near: tuple[NDArray[np.int64], Ints],
    asked: tuple[NDArray[np.int64], NDArray[np.int64]],
    reach: float,
    most: int,
    threads: int,
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]] | None:
    """``state`` of each point to the shells asked for it, its offsets (N + 1,), and the shell that holds each (N,)."""
    count = len(witnesses.own)
    of_facet = shells.of_facet
    if not shells.closed.all():
        mesh, of_facet = _capped(mesh, shells)
        bvh = build_bvh(mesh, threads)
    boxes = np.empty((shells.count, 6))
    measure_boxes(mesh.vertices, mesh.facets, of_facet, boxes)  # type: ignore[no-untyped-call]
    tree = box_tree(boxes, threads)
    by_shell = np.argsort(of_facet, kind="stable")
    shell_start = np.searchsorted(of_facet[by_shell], np.arange(shells.count + 1))
    state_start = np.concatenate([[0], np.cumsum(np.diff(asked[0])[witnesses.own])])
    if state_start[-1] > most:
        return None
    state, holder = np.full(int(state_start[-1]), OUTSIDE, np.int8), np.full(count, -1, np.int64)
    work = work_array(count, GRAIN_POINTS)
    moved = general_position(mesh, bvh, 0.0, threads)
    within = run_bounded(
        locate_points, count, threads, most, work,
        Points(witnesses.points - bvh.centre, witnesses.own, witnesses.row), Contacts(*near, *asked, reach),
        Surface(mesh.vertices - bvh.centre, moved, mesh.facets, bvh),
        ShellTree(of_facet, by_shell, shell_start, shells.size, boxes - np.tile(bvh.centre, 2), tree),
        most // _CHUNK_SHARE, Containment(state_start, state, holder), work, search="nesting",
    )  # fmt: skip
    return (state, state_start, holder) if within else None


def _capped(mesh: Mesh, shells: Shells) -> tuple[Mesh, Ints]:
    """The mesh with its holes closed, and each facet's shell: a cap belongs to the shell of its rim's edge."""
    closed = close_rims(mesh)
    caps = closed.facets[mesh.facet_count :]
    facet, corner = np.nonzero(shells.links < 0)
    start, end = mesh.facets[facet, corner].astype(np.int64), mesh.facets[facet, (corner + 1) % 3]
    keys = np.minimum(start, end) * len(mesh.vertices) + np.maximum(start, end)
    order = np.argsort(keys, kind="stable")
    wanted = caps[:, :2].min(axis=1).astype(np.int64) * len(mesh.vertices) + caps[:, :2].max(axis=1)
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return closed, np.concatenate([shells.of_facet, shells.of_facet[facet[order[at]]]])


def _relate(
    shells: Shells,
    witnesses: _Witnesses,
    state: NDArray[np.int8],
    state_start: NDArray[np.int64],
    held_by: NDArray[np.int64],
    asked_start: NDArray[np.int64],
    asked: NDArray[np.int64],
    crosses: NDArray[np.bool_],
) -> Ints:
    """Each shell's holder; marks in ``crosses`` those that lie on both sides of another, or all on its surface."""
    entry_point = np.repeat(np.arange(len(witnesses.own)), np.diff(state_start))
    rank = np.arange(len(state)) - state_start[entry_point]
    entry = asked_start[witnesses.own[entry_point]] + rank  # each point's answer belongs to one asked pair of shells
    inside = np.bincount(entry[state == INSIDE], minlength=len(asked)) > 0
    outside = np.bincount(entry[state == OUTSIDE], minlength=len(asked)) > 0
    small = np.repeat(np.arange(shells.count), np.diff(asked_start))
    open_question = ~crosses[small]
    both = open_question & (inside == outside)
    crosses[small[both]] = True
    crosses[asked[both]] = True
    size = np.append(shells.size, np.inf)
    holder = np.full(shells.count, -1, np.int32)
    seen, point = np.unique(witnesses.own, return_index=True)
    holder[seen] = held_by[point]
    for pair in np.flatnonzero(open_question & inside & ~outside):
        if size[asked[pair]] < size[holder[small[pair]]]:
            holder[small[pair]] = asked[pair]
    return holder
