"""The solid that a surface encloses: the part of the surface that bounds it, its volume and its centre of mass.

The solid is where the winding number is at least 1: overlapping shells count once and a reversed inner shell is a
cavity. Facets that cross others are cut (:mod:`kernels.solid.arrangement`); the others form patches with a constant
winding number outside, so one ray decides a patch. Surfaces with holes are closed first: the rim edges of each
connected group are joined to a point in its middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.pair_search import Pairs, find_pairs
from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.runtime.search_counters import NODES, PAIRS, record, work_array, work_limit
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.solid.arrangement import Cuts, cut_facets
from pricing_engine.kernels.solid.boundary import CAP, CRACK, INSIDE, UNCUT, Boundary
from pricing_engine.kernels.solid.generalized_winding import mean_excess
from pricing_engine.kernels.solid.repeated_winding import repeated_outer_winding
from pricing_engine.kernels.solid.segments import mark_crossing, write_segments
from pricing_engine.kernels.solid.volume import boundary_moments
from pricing_engine.kernels.solid.winding import JITTER, general_position, outer_winding, ray_pad
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.kernels.topology.caps import close_rims
from pricing_engine.kernels.topology.patches import edge_order, join_patches, largest_members

MAX_CUT_WORK = 1e8
"""Limit of the sum over facets of their squared crossings: 5 s of cutting and a few million pieces, at most.

A row of 1,000 overlapping balls of 80 facets makes 6e6, 200 random tetrahedra in one box 5e7.
"""

CUT_UNITS_PER_FACET, MIN_CUT_UNITS = 128.0, 200_000_000
"""Limit of cutting steps, 10 ns each: n log2 n times the first, at least the second. Segments that cross each other in
a facet cost up to the cube of their number, which :data:`MAX_CUT_WORK` does not include.
"""

_CUT_SHARE, _CUT_BATCH = 8, 16  # a chunk's share of that (divisor), and chunks between checks of the sum
_CRACK = 1e-6
_GRAIN_PAIRS = 16384
_GRAIN_CUT = 64


def classify(mesh: Mesh, bvh: Bvh, pairs: Pairs, closed: bool, facet_body: Ints, threads: int) -> Boundary | None:
    """Return the part of ``mesh`` that bounds the region with winding number at least 1; None for a tangle.

    A tangle has more pairs of facets than are stored, or more crossings or stacked bodies than can be processed in
    bounded time (:data:`MAX_CUT_WORK`, :data:`CUT_UNITS_PER_FACET`). ``pairs``: of facets that may cross or touch, from
    ``find_pairs``. ``closed``: every edge has exactly two facets, in opposite directions. ``facet_body`` (F,) int32:
    each facet's body, used if the mesh is closed and nothing crosses.
    """
    if mesh.facet_count == 0:
        return Boundary.everything(0)
    count = mesh.facet_count
    if not pairs.complete:
        return None
    if not closed:
        mesh = close_rims(mesh)
        if mesh.facet_count > count:
            bvh = build_bvh(mesh, threads)
            pairs = find_pairs(mesh, bvh, threads)
            if not pairs.complete:
                return None
    moved = general_position(mesh, bvh, JITTER, threads)
    first, second = _crossing_pairs(mesh, moved, pairs.first, pairs.second, threads)
    if pairs.same is not None and len(first):
        copies = np.bincount(pairs.same, minlength=mesh.facet_count)
        if float((copies[first] * copies[second]).sum(dtype=np.float64)) > MAX_CUT_WORK:
            return None
        first, second = _all_copies(first, second, pairs.same)
    crossings = np.bincount(first, minlength=mesh.facet_count) + np.bincount(second, minlength=mesh.facet_count)
    if float(np.square(crossings, dtype=np.float64).sum()) > MAX_CUT_WORK:
        return None
    status = np.full(mesh.facet_count, INSIDE, np.int8)
    is_cut = crossings > 0
    del crossings
    if closed and len(first) == 0:
        patch = facet_body
    else:
        patch = np.empty(mesh.facet_count, np.int32)
        order, keys = edge_order(mesh.facets, len(mesh.vertices))
        join_patches(mesh.facets, order, keys, is_cut, patch)
        del order, keys
    size = int(patch.max()) + 1
    best, area = np.empty(size, np.int64), np.empty(size)
    largest_members(mesh.facets, moved, patch, best, area)
    if len(first):
        best[is_cut[best] & (best >= 0)] = -1
    representatives = best[best >= 0]
    bounds = np.zeros(size, np.bool_)
    if pairs.same is None:
        winding = outer_winding(mesh, bvh, moved, representatives, threads)
    else:
        winding = repeated_outer_winding(mesh, moved, pairs.same, representatives, threads)
    if winding is None:
        return None
    bounds[best >= 0] = winding == 0
    status[bounds[patch]] = UNCUT
    pieces, owner = np.empty((0, 3, 3)), np.empty(0, np.int32)
    if len(first):
        cut = _cut(mesh, bvh, moved, first, second, status, threads)
        if cut is None:
            return None
        pieces, owner = cut
    if mesh.facet_count > count:
        caps = count + np.flatnonzero(status[count:] == UNCUT)
        pieces = np.concatenate([pieces, mesh.vertices[mesh.facets[caps]]])
        owner = np.concatenate([owner, caps.astype(np.int32)])
        closing = owner >= count
        owner[closing] = np.where(_cracks(mesh, count), CRACK, CAP)[owner[closing] - count]
    return Boundary(status[:count], pieces, owner)


def true_volume(mesh: Mesh, boundary: Boundary, threads: int) -> tuple[float, Floats]:
    """Return volume (mm3) and centre of mass (3,) mm of the solid that ``boundary`` bounds.

    By the divergence theorem about the middle of the box. The centre is NaN if the volume is zero.
    """
    if mesh.facet_count == 0:
        return 0.0, np.full(3, np.nan)
    low, high = mesh.box()
    centre = (low + high) / 2
    moments = boundary_moments(mesh, boundary, centre, threads)
    volume = float(moments[0]) / 6
    if volume == 0:
        return 0.0, np.full(3, np.nan)
    return volume, centre + moments[1:] / (24 * volume)


def open_volume_estimate(mesh: Mesh, bvh: Bvh, boundary: Boundary, threads: int) -> float:
    """Return the volume (mm3) where the generalized winding number of a mesh with holes is at least 1/2.

    That number is the winding number of the closed mesh minus the solid angle of the caps over 4 pi. So the volume is
    the exact one that ``boundary`` (from :func:`classify`) bounds, plus a correction near the caps, integrated along a
    fixed set of lines through the caps' box.
    """
    volume, _ = true_volume(mesh, boundary, threads)
    closed, closed_bvh = close(mesh, threads)
    if closed.facet_count == mesh.facet_count:
        return volume
    return max(0.0, volume + mean_excess(closed, closed_bvh, mesh.facet_count, threads))


def close(mesh: Mesh, threads: int) -> tuple[Mesh, Bvh]:
    """Return the mesh with a cone over each rim, the caps after the facets, and its BVH.

    A mesh whose directed edges cancel out is closed already and is returned unchanged.
    """
    closed = close_rims(mesh)
    return closed, build_bvh(closed, threads)


def _cracks(mesh: Mesh, first_cap: int) -> NDArray[np.bool_]:
    """Return which caps (facets from ``first_cap`` on) close a hole narrower than 1e-6 of the model's size, on average.

    A rim's area is the length of the sum of its caps' area vectors: folded caps cancel out.
    """
    caps = mesh.facets[first_cap:]
    corners = mesh.vertices[caps]
    rim = caps[:, 2] - caps[:, 2].min()
    double = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    width = np.linalg.norm(np.stack([np.bincount(rim, double[:, axis]) for axis in range(3)]), axis=0)
    length = np.bincount(rim, np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1))
    low, high = mesh.box()
    size = float((high - low).max())
    cracks: NDArray[np.bool_] = (width <= _CRACK * size * length)[rim]
    return cracks


def _crossing_pairs(mesh: Mesh, moved: Floats, first: Ints, second: Ints, threads: int) -> tuple[Ints, Ints]:
    """Return the pairs that cross in general position, each once."""
    crossing = np.zeros(len(first), np.bool_)
    no_pieces, no_flags = np.empty((0, 4)), np.empty(0, np.int8)
    arguments = (moved, mesh.facets, first, second, no_pieces, no_flags, crossing)
    run_ranges(mark_crossing, len(first), _GRAIN_PAIRS, threads, *arguments)
    first, second = first[crossing].astype(np.int64), second[crossing].astype(np.int64)
    keys = np.unique(np.minimum(first, second) * mesh.facet_count + np.maximum(first, second))
    return (keys // mesh.facet_count).astype(np.int32), (keys % mesh.facet_count).astype(np.int32)


def _all_copies(first: Ints, second: Ints, same: Ints) -> tuple[Ints, Ints]:
    """Expand each pair of facets to the pairs of all their copies; ``same``: each facet's first copy."""
    order = np.argsort(same, kind="stable")
    starts = np.searchsorted(same[order], np.arange(len(same) + 1))
    count = np.diff(starts)
    repeats = count[first] * count[second]
    rank = np.arange(int(repeats.sum())) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    f, g = np.repeat(first, repeats), np.repeat(second, repeats)
    one, two = order[starts[f] + rank // count[g]], order[starts[g] + rank % count[g]]
    keys = np.unique(np.minimum(one, two) * len(same) + np.maximum(one, two))
    return (keys // len(same)).astype(np.int32), (keys % len(same)).astype(np.int32)


def _cut(
    mesh: Mesh, bvh: Bvh, moved: Floats, first: Ints, second: Ints, status: NDArray[np.int8], threads: int
) -> tuple[Floats, Ints] | None:
    """Cut the facets of crossing pairs into pieces (n, 3, 3) of facets (n,), and set these facets' ``status``.

    None if that exceeds :data:`CUT_UNITS_PER_FACET`.
    """
    owner = np.concatenate([first, second])
    order = np.argsort(owner, kind="stable")
    row = np.empty(len(owner), np.int64)
    row[order] = np.arange(len(owner))
    segments, flags = np.empty((len(owner), 4)), np.zeros(len(owner), np.int8)
    rows = row[: len(first)], row[len(first) :]
    run_ranges(
        write_segments, len(first), _GRAIN_PAIRS, threads, moved, mesh.facets, first, second, *rows, segments, flags
    )
    cut, start = np.unique(owner[order], return_index=True)
    start = np.append(start, len(owner))
    no_pieces = (np.empty((0, 3, 3)), np.empty(0, np.int32))
    parts: list[list[Any]] = [[*no_pieces]] * chunk_count(len(cut), _GRAIN_CUT)

    max_units = work_limit(mesh.facet_count, CUT_UNITS_PER_FACET, MIN_CUT_UNITS)
    cuts = Cuts(cut, start, segments, flags)
    work, units = work_array(len(cut), _GRAIN_CUT), np.zeros(len(parts), np.int64)

    def part(lo: int, hi: int, skip: int) -> None:
        chunk = (lo + skip) // _GRAIN_CUT
        *parts[chunk], work[chunk, NODES], units[chunk] = cut_facets(
            lo + skip, hi + skip, cuts, moved, mesh.facets, mesh.vertices, bvh, ray_pad(bvh), max_units // _CUT_SHARE,
            status,
        )  # fmt: skip
        work[chunk, PAIRS] = units[chunk] - 2 * work[chunk, NODES]

    for skip in range(0, len(cut), _CUT_BATCH * _GRAIN_CUT):
        run_ranges(part, min(_CUT_BATCH * _GRAIN_CUT, len(cut) - skip), _GRAIN_CUT, threads, skip)
        if units.max() > max_units // _CUT_SHARE or units.sum() > max_units:
            record("arrangement", work)
            return None
    record("arrangement", work)
    return np.concatenate([p for p, _ in parts]), np.concatenate([o for _, o in parts])
