"""All pairs of facets that meet, touch or nearly do: the join of the tree with itself.

Each leaf of the tree is joined with the leaves from itself on whose boxes overlap its own, and facet boxes are compared
eight at a time. A float64 filter then looks for a plane between two facets, with an error bound (:mod:`facet_pairs`).
Leaves of one fan, all facets around one vertex, are first tried as wholes (:mod:`fans`).
Expected O(n log n + pairs). n facets can have n**2 / 2 pairs: a model with more than :data:`MOST_PAIRS` and
:data:`MOST_PAIRS_PER_FACET` is a tangle whose pairs are not kept, so memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.bvh import WIDTH, Bvh
from pricing_engine.kernels.compile import kernel
from pricing_engine.kernels.facet_pairs import may_meet
from pricing_engine.kernels.fans import fans_apart, find_hubs
from pricing_engine.kernels.threads import chunk_count, run_ranges
from pricing_engine.mesh.model import Floats, Ints, Mesh

NEAR = 1e-6
"""How near, relative to the model's size, :func:`find_pairs` still reports facets."""

MOST_PAIRS, MOST_PAIRS_PER_FACET = 4_000_000, 4
STACK = 256  # 7 siblings for each level but the last, and more levels than 2**31 facets can have
GRAIN_LEAVES = 256
_ROOM = 256  # pairs a chunk may report in the first pass; a chunk with more is run again with as much as it needs
_MOST_IN_CHUNK = 1 << 20  # where a chunk stops counting
_BATCH_CHUNKS = 16  # are run before the total is looked at: a tangle shows soon


@dataclass(frozen=True, slots=True)
class Pairs:
    """``first`` < ``second`` (P,) int32: pairs of facets, sorted. Not ``complete``: too many, so none is kept."""

    first: Ints
    second: Ints
    complete: bool


@dataclass(frozen=True, slots=True)
class Joinable:
    """What every leaf is compared by: ``boxes`` (leaves, 6, 8) of its facets, widened by ``near`` mm; its fan's ``hub``
    (leaves,) int32, -1 where it is no fan, and ``axis`` (leaves, 3).
    """

    boxes: NDArray[np.float32]
    near: float
    hub: Ints
    axis: Floats


def find_pairs(mesh: Mesh, bvh: Bvh, threads: int) -> Pairs:
    """All pairs that may meet once vertices are moved a little.

    That is all that intersect, touch or nearly do. Left out are only pairs with a plane between them from which one
    facet's corners, apart from shared ones, stay away by ``NEAR`` times half the model's size.
    """
    leaves = bvh.corners.shape[1] // WIDTH
    return sort_pairs(mesh, [join_leaves(0, leaves, threads, mesh, bvh, prepare_join(mesh, bvh, threads))])


def prepare_join(mesh: Mesh, bvh: Bvh, threads: int) -> Joinable:
    """One streaming pass over the facets."""
    leaves = bvh.corners.shape[1] // WIDTH
    boxes, near = boxes_of_facets(bvh, NEAR, threads)
    hub, axis = np.empty(leaves, np.int32), np.empty((leaves, 3))
    run_ranges(find_hubs, leaves, 4096, threads, mesh.vertices, mesh.facets, hub, axis)
    return Joinable(boxes, near, hub, axis)


def join_leaves(lo: int, hi: int, threads: int, mesh: Mesh, bvh: Bvh, by: Joinable) -> NDArray[np.int64] | None:
    """The pairs of leaves ``lo .. hi`` (``lo`` a multiple of :data:`GRAIN_LEAVES`) with themselves and all later ones.

    Keys ``first << 32 | second``, or None where they are too many.
    """
    chunks = chunk_count(hi - lo, GRAIN_LEAVES)
    found = np.zeros(chunks, np.int64)
    room = np.full(chunks, _ROOM, np.int64)
    parts = []
    while room.any():
        start = np.concatenate([[0], np.cumsum(room)])
        keys = np.empty(start[-1], np.int64)
        for skip in range(0, hi - lo, _BATCH_CHUNKS * GRAIN_LEAVES):
            batch = min(hi - lo - skip, _BATCH_CHUNKS * GRAIN_LEAVES)
            run_ranges(_join_leaves, batch, GRAIN_LEAVES, threads, skip, lo, mesh.vertices, mesh.facets, bvh.boxes,
                       bvh.level_start, by.boxes, by.hub, by.axis, by.near, start, keys, found)  # fmt: skip
            if found.max() > _MOST_IN_CHUNK or found.sum() > _most_pairs(mesh):
                return None
        fits = found <= room
        parts += [keys[start[i] : start[i] + found[i]] for i in np.flatnonzero(fits & (room > 0))]
        room = np.where(fits | (room == 0), 0, found)
    return np.concatenate(parts)


def sort_pairs(mesh: Mesh, parts: list[NDArray[np.int64] | None]) -> Pairs:
    """The pairs of all parts of :func:`join_leaves`."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or sum(map(len, known)) > _most_pairs(mesh):
        return Pairs(np.empty(0, np.int32), np.empty(0, np.int32), complete=False)
    keys = np.concatenate(known)
    keys.sort()
    return Pairs((keys >> 32).astype(np.int32), (keys & 0x7FFFFFFF).astype(np.int32), complete=True)


def _most_pairs(mesh: Mesh) -> int:
    return MOST_PAIRS + MOST_PAIRS_PER_FACET * mesh.facet_count


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


@kernel
def _join_leaves(
    lo, hi, skip, begin, vertices, facets, boxes, level_start, facet_boxes, hub, axis, near, start, keys, found
):
    lo, hi = lo + skip + begin, hi + skip + begin
    chunk = (lo - begin) // GRAIN_LEAVES
    first_key, room = start[chunk], start[chunk + 1] - start[chunk]
    if room == 0:
        return
    stack = np.empty((STACK, 2), np.int64)
    top_level = len(level_start) - 1
    count = np.int64(0)
    for leaf in range(lo, hi):
        if count > _MOST_IN_CHUNK:
            break
        x0, y0, z0 = boxes[0, leaf] - near, boxes[1, leaf] - near, boxes[2, leaf] - near
        x1, y1, z1 = boxes[3, leaf] + near, boxes[4, leaf] + near, boxes[5, leaf] + near
        stack[0, 0], stack[0, 1] = level_start[top_level], top_level
        depth = 1
        while depth > 0:
            depth -= 1
            block, level = stack[depth, 0], stack[depth, 1]
            for box in range(block, block + WIDTH):
                if not (boxes[0, box] <= x1 and boxes[3, box] >= x0 and boxes[1, box] <= y1):
                    continue
                if not (boxes[4, box] >= y0 and boxes[2, box] <= z1 and boxes[5, box] >= z0):
                    continue
                index = box - level_start[level]
                if (index + 1) << (3 * level) <= leaf:
                    continue  # holds earlier leaves only: those pairs were found from there
                if level > 0:
                    stack[depth, 0], stack[depth, 1] = level_start[level - 1] + WIDTH * index, level - 1
                    depth += 1
                elif not (
                    hub[leaf] >= 0
                    and hub[leaf] == hub[box]
                    and leaf != box
                    and fans_apart(leaf, box, hub[leaf], axis, vertices, facets, near)
                ):
                    count = _join_pair(
                        leaf, box, vertices, facets, boxes, facet_boxes, near, first_key, room, keys, count
                    )
    found[chunk] = count


@kernel
def _join_pair(leaf, other, vertices, facets, boxes, facet_boxes, near, first_key, room, keys, count):
    for i in range(WIDTH):
        x0, y0, z0 = facet_boxes[leaf, 0, i], facet_boxes[leaf, 1, i], facet_boxes[leaf, 2, i]
        x1, y1, z1 = facet_boxes[leaf, 3, i], facet_boxes[leaf, 4, i], facet_boxes[leaf, 5, i]
        if not (boxes[0, other] - near <= x1 and boxes[3, other] + near >= x0 and boxes[1, other] - near <= y1):
            continue
        if not (boxes[4, other] + near >= y0 and boxes[2, other] - near <= z1 and boxes[5, other] + near >= z0):
            continue
        hits = 0
        for k in range(WIDTH):
            hit = (facet_boxes[other, 0, k] <= x1) & (facet_boxes[other, 3, k] >= x0)
            hit &= (facet_boxes[other, 1, k] <= y1) & (facet_boxes[other, 4, k] >= y0)
            hit &= (facet_boxes[other, 2, k] <= z1) & (facet_boxes[other, 5, k] >= z0)
            hits |= np.int64(hit) << k
        f = leaf * WIDTH + i
        for k in range(i + 1 if leaf == other else 0, WIDTH):
            if (hits >> k) & 1 == 0:
                continue
            g = other * WIDTH + k
            if may_meet(vertices, facets, f, g, near):
                if count < room:
                    keys[first_key + count] = (f << 32) | g
                count += 1
    return count
