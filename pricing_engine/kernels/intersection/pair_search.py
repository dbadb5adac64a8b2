"""All pairs of facets that meet, touch or nearly do: the join of the tree with itself.

Each leaf of the tree is joined with the leaves from itself on whose boxes overlap its own. Facet boxes are compared
eight at a time, and so is whether a facet's own plane keeps it from another (:mod:`facet_planes`). What that leaves
goes through a filter that tries more planes, in float64 with an error bound (:mod:`separating_plane`).
Leaves of one fan, all facets around one vertex, are first tried as wholes (:mod:`fan_separation`).
Expected O(n log n + pairs). n facets can have n**2 / 2 pairs: a model with more than :data:`MAX_PAIRS` and
:data:`MAX_PAIRS_PER_FACET` is a tangle whose pairs are not stored, so memory is bounded. Tests that find nothing are
bounded too, by :data:`WORK_PER_FACET` * n log2 n over the model and a share of that for each chunk of leaves; chunks
depend on the input alone, so the answer is the same on any number of threads. Where that ends a search and facets
repeat one another, it is repeated with one facet of each group of equals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.equal_facets import first_equals
from pricing_engine.kernels.intersection.fan_separation import find_hubs
from pricing_engine.kernels.intersection.leaf_join import (
    GRAIN_LEAVES,
    MAX_IN_CHUNK,
    Found,
    Joinable,
    join_chunk,
    work_units,
)
from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.runtime.compile import kernel
from pricing_engine.kernels.runtime.search_counters import record, work_limit
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.spatial.bvh import WIDTH, Bvh, build_bvh

NEAR = 1e-6
"""How near, relative to the model's size, :func:`find_pairs` still reports facets."""

MAX_PAIRS, MAX_PAIRS_PER_FACET = 4_000_000, 4
WORK_PER_FACET, MIN_WORK = 128.0, 80_000_000  # units of :func:`leaf_join.work_units`
CHUNK_SHARE, MIN_CHUNK_WORK = 8, 24_000_000  # of the model's work, a chunk may do one such part, at least the latter
_CAPACITY = 4096  # pairs a chunk may report in the first pass: two a facet; with more it is run again
_BATCH_CHUNKS = 16  # are run before the total is checked: a tangle is found early


@dataclass(frozen=True, slots=True)
class Pairs:
    """``first`` < ``second`` (P,) int32: pairs of facets, sorted. Not ``complete``: too many, so none is stored.

    ``same`` (F,) int32, where facets repeat one another so often that the pairs are of the first of each group of
    equals alone: the first facet with the same vertices. None where the pairs are of all facets.
    """

    first: Ints
    second: Ints
    complete: bool
    same: Ints | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """``keys`` ``first << 32 | second`` of the pairs of some leaves, None where too many; ``spent``: units of work."""

    keys: NDArray[np.int64] | None
    spent: int


def find_pairs(mesh: Mesh, bvh: Bvh, threads: int, near: float = NEAR) -> Pairs:
    """All pairs that may meet once vertices are moved a little.

    That is all that intersect, touch or nearly do. Left out are only pairs with a plane between them from which one
    facet's corners, apart from shared ones, stay away by ``near`` times half the model's size.
    """
    leaves = bvh.corners.shape[1] // WIDTH
    parts = [join_leaves(0, leaves, threads, mesh, bvh, prepare_join(mesh, bvh, threads, near))]
    return sort_pairs(mesh, parts, threads)


def prepare_join(mesh: Mesh, bvh: Bvh, threads: int, near: float = NEAR) -> Joinable:
    """One streaming pass over the facets."""
    leaves = bvh.corners.shape[1] // WIDTH
    boxes, distance = boxes_of_facets(bvh, near, threads)
    hub, axis = np.empty(leaves, np.int32), np.empty((leaves, 3))
    run_ranges(find_hubs, leaves, 4096, threads, mesh.vertices, mesh.facets, hub, axis)
    return Joinable(boxes.reshape(-1, WIDTH), distance, hub, axis)


def join_leaves(lo: int, hi: int, threads: int, mesh: Mesh, bvh: Bvh, by: Joinable) -> Joined:
    """Join leaves ``lo .. hi``, ``lo`` a multiple of :data:`GRAIN_LEAVES`, with themselves and later ones."""
    chunks = chunk_count(hi - lo, GRAIN_LEAVES)
    found = np.zeros(chunks, np.int64)
    work = np.zeros((chunks, 2), np.int64)
    capacity = np.full(chunks, _CAPACITY, np.int64)
    most = work_limit(mesh.facet_count, WORK_PER_FACET, MIN_WORK)
    max_in_chunk = max(most // CHUNK_SHARE, MIN_CHUNK_WORK)
    parts = []
    while capacity.any():
        start = np.concatenate([[0], np.cumsum(capacity)])
        keys = np.empty(start[-1], np.int64)
        for skip in range(0, hi - lo, _BATCH_CHUNKS * GRAIN_LEAVES):
            batch = min(hi - lo - skip, _BATCH_CHUNKS * GRAIN_LEAVES)
            run_ranges(join_chunk, batch, GRAIN_LEAVES, threads, skip, lo, mesh.vertices, mesh.facets, bvh, by,
                       max_in_chunk, Found(start, keys, found, work))  # fmt: skip
            units = work_units(work[:, 0], work[:, 1])
            crowded = found.max() > MAX_IN_CHUNK or found.sum() > _max_pairs(mesh)
            if crowded or units.max() > max_in_chunk or units.sum() > most:
                record("pair_search", work)
                return Joined(None, int(units.sum()))
        fits = found <= capacity
        parts += [keys[start[i] : start[i] + found[i]] for i in np.flatnonzero(fits & (capacity > 0))]
        capacity = np.where(fits | (capacity == 0), 0, found)
    record("pair_search", work)
    return Joined(np.concatenate(parts), int(work_units(work[:, 0], work[:, 1]).sum()))


def sort_pairs(mesh: Mesh, parts: list[Joined], threads: int) -> Pairs:
    """Sort the pairs of all parts of :func:`join_leaves`; where they are too many, those of the facets that differ."""
    most = work_limit(mesh.facet_count, WORK_PER_FACET, MIN_WORK)
    keys_of = [part.keys for part in parts if part.keys is not None]
    if len(keys_of) < len(parts) or sum(map(len, keys_of)) > _max_pairs(mesh) or sum(p.spent for p in parts) > most:
        return _distinct_pairs(mesh, threads)
    keys = np.concatenate(keys_of)
    keys.sort()
    return Pairs((keys >> 32).astype(np.int32), (keys & 0x7FFFFFFF).astype(np.int32), complete=True)


def _distinct_pairs(mesh: Mesh, threads: int) -> Pairs:
    """Find the pairs of the first of each group of equal facets.

    Not complete where all facets differ or it is no help.
    """
    nothing = np.empty(0, np.int32)
    same = first_equals(mesh.facets)
    firsts = np.flatnonzero(same == np.arange(len(same))).astype(np.int32)
    if len(firsts) == mesh.facet_count:
        return Pairs(nothing, nothing, complete=False)
    distinct = Mesh(mesh.vertices, mesh.facets[firsts])
    pairs = find_pairs(distinct, build_bvh(distinct, threads), threads)
    if not pairs.complete:
        return Pairs(nothing, nothing, complete=False)
    return Pairs(firsts[pairs.first], firsts[pairs.second], True, same)


def _max_pairs(mesh: Mesh) -> int:
    return MAX_PAIRS + MAX_PAIRS_PER_FACET * mesh.facet_count


def boxes_of_facets(bvh: Bvh, near: float, threads: int) -> tuple[NDArray[np.float32], float]:
    """Boxes (leaves, 6, 8) of all facets, widened by ``near`` times half the model's size; and that in mm."""
    leaves = bvh.corners.shape[1] // WIDTH
    top = bvh.boxes[:, bvh.level_start[-1] :]
    size = float(np.abs(top[np.isfinite(top)]).max())
    facet_boxes = np.empty((leaves, 6, WIDTH), np.float32)
    pad = np.float32(near * size + size * 2.0**-22)
    run_ranges(_fill_facet_boxes, leaves, 4096, threads, bvh.corners, pad, facet_boxes)
    return facet_boxes, near * size


@kernel
def _fill_facet_boxes(lo, hi, corners, pad, facet_boxes):
    for leaf in range(lo, hi):
        for axis in range(3):
            for k in range(WIDTH):
                facet = leaf * WIDTH + k
                a, b, c = corners[axis, facet], corners[3 + axis, facet], corners[6 + axis, facet]
                facet_boxes[leaf, axis, k] = min(a, b, c) - pad
                facet_boxes[leaf, 3 + axis, k] = max(a, b, c) + pad
