"""Light repair: only what leaves the shape as it is, counted and told.

In this order: facets with a repeated vertex go; a facet and its reverse cancel; of duplicates with the same orientation
one stays, unless the surface is closed as it is; facets that disagree with the winding of their patch are flipped;
bodies that are inside out are turned. A body is inside out if its signed volume is negative and no other body encloses
it: a reversed inner shell is a cavity and stays. For bodies with a boundary the volume about their area centroid,
squared, must be more than a thousandth of that of a sphere with their area, so that sheets, whose volume means nothing,
are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mass import body_measures
from pricing_engine.kernels.mend import enclosed_points, minority_flips, renumber
from pricing_engine.kernels.work import record, work_limit
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.model import Mesh

UNDECIDED = "inverted_bodies_undecided"
"""Code of a :class:`Repair` that was left: bodies inside out among too many others to tell which enclose them."""

_FLAT_OPEN, _FLAT_CLOSED = 1e-3, 1e-20
_TESTS_PER_FACET, _LEAST_TESTS = 256.0, 50_000_000  # points compared with facets, some 4 ns each


@dataclass(frozen=True, slots=True)
class Repair:
    """One kind of repair and how many facets (for ``bodies_turned``: bodies) it changed."""

    code: str
    count: int


def repair(mesh: Mesh, topology: Topology, threads: int) -> tuple[Mesh, tuple[Repair, ...]]:
    """The mended mesh, in canonical order, and what was done; the same object if nothing was.

    A mesh whose facets would all go is left as it is. O(n), and n log n where there are duplicates.
    """
    facets = mesh.facets
    done: list[Repair] = []
    kept = _distinct_corners(facets)
    if len(kept) < len(facets):
        done.append(Repair("degenerate_facets_removed", len(facets) - len(kept)))
    if topology.duplicate_facets:
        closed = topology.winding_consistent and topology.boundary_edges == 0
        kept, repeated, opposite = _without_duplicates(facets, kept, closed)
        done += [Repair("duplicate_facets_removed", repeated), Repair("opposite_facets_removed", opposite)]
    if len(kept) == 0:
        return mesh, ()
    current = mesh
    if len(kept) < len(facets):
        current = Mesh(*renumber(mesh.vertices, facets[kept]))  # type: ignore[no-untyped-call]
        topology = measure_topology(current, threads)
    facets = current.facets
    if not topology.winding_consistent:
        flipped = minority_flips(facets, topology.neighbours).astype(np.bool_)  # type: ignore[no-untyped-call]
        done.append(Repair("facets_flipped", int(flipped.sum())))
        facets = _flip(facets, flipped)
    inverted, undecided = inverted_bodies(Mesh(current.vertices, facets), topology, threads)
    done += [Repair("bodies_turned", len(inverted)), Repair(UNDECIDED, undecided)]
    if len(inverted):
        turned = np.zeros(topology.bodies, np.bool_)
        turned[inverted] = True
        facets = _flip(facets, turned[topology.facet_body])
    if facets is not current.facets:
        current = Mesh(*renumber(current.vertices, facets))  # type: ignore[no-untyped-call]
    told = tuple(entry for entry in done if entry.count)
    return (current, told) if told else (mesh, ())


def inverted_bodies(mesh: Mesh, topology: Topology, threads: int) -> tuple[NDArray[np.int64], int]:
    """Numbers of the bodies that are inside out: negative signed volume, and not inside another body.

    And how many of negative volume are left undecided: all of them, where to tell takes more than c n log2 n steps.
    """
    volumes, areas = body_measures(mesh, topology.facet_body, topology.bodies, threads)
    closed = np.ones(topology.bodies, np.bool_)
    if not topology.watertight:
        closed[topology.facet_body[(topology.neighbours < 0).any(axis=1)]] = False
    roundness = np.divide(36 * np.pi * volumes**2, areas**3, out=np.zeros_like(volumes), where=areas > 0)
    negative = np.flatnonzero((volumes < 0) & (roundness > np.where(closed, _FLAT_CLOSED, _FLAT_OPEN)))
    if len(negative) == 0 or topology.bodies == 1:
        return negative, 0
    by_body = np.argsort(topology.facet_body, kind="stable")
    first_facet = by_body[np.searchsorted(topology.facet_body[by_body], negative)]
    points = mesh.vertices[mesh.facets[first_facet]].mean(axis=1)
    most = work_limit(mesh.facet_count, _TESTS_PER_FACET, _LEAST_TESTS)
    low, high = _heights(mesh, topology, by_body, closed)
    inside, tests = enclosed_points(  # type: ignore[no-untyped-call]
        mesh.vertices, mesh.facets, topology.facet_body, by_body, low, high, points, negative, most
    )
    record("enclosed_points", np.array([[0, tests]]))
    if tests > most:
        return negative[:0], len(negative)
    return negative[inside == 0], 0


def _heights(
    mesh: Mesh, topology: Topology, by_body: NDArray[np.int64], closed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and greatest z (bodies,) of each closed body; infinite for the others."""
    z = mesh.vertices[mesh.facets[by_body], 2]
    begins = np.searchsorted(topology.facet_body[by_body], np.arange(topology.bodies))
    low, high = np.minimum.reduceat(z.min(axis=1), begins), np.maximum.reduceat(z.max(axis=1), begins)
    return np.where(closed, low, -np.inf), np.where(closed, high, np.inf)


def _distinct_corners(facets: NDArray[np.int32]) -> NDArray[np.int64]:
    a, b, c = facets.T
    return np.flatnonzero((a != b) & (b != c) & (c != a))


def _without_duplicates(
    facets: NDArray[np.int32], kept: NDArray[np.int64], closed: bool
) -> tuple[NDArray[np.int64], int, int]:
    """Of ``kept``: facets that remain, how many repeated another, how many were cancelled by their reverse.

    Of facets on the same three vertices as many remain as one orientation outnumbers the other; of an open surface at
    most one. Where the surface is ``closed``, to drop a repeated facet would tear it: two shells may share a face.
    """
    a, b, c = facets[kept].T.astype(np.int64)
    corners = np.sort(facets[kept], axis=1)
    odd = ((a > b).astype(np.int8) + (b > c) + (c > a)) == 2  # two cyclic descents: an odd permutation
    order = np.lexsort((kept, odd, corners[:, 2], corners[:, 1], corners[:, 0]))
    corners, odd = corners[order], odd[order]
    group = np.cumsum(np.append(False, (corners[1:] != corners[:-1]).any(axis=1)))
    odds = np.bincount(group, odd).astype(np.int64)
    evens = np.bincount(group) - odds
    first = np.searchsorted(group, np.arange(len(odds)))
    rank = np.arange(len(group)) - first[group] - np.where(odd, evens[group], 0)  # among those of its orientation
    surplus = np.abs(evens - odds)
    staying = surplus if closed else np.minimum(surplus, 1)
    remains = (odd == (odds > evens)[group]) & (rank < staying[group])
    cancelled = 2 * int(np.minimum(evens, odds).sum())
    return np.sort(kept[order[remains]]), len(kept) - int(remains.sum()) - cancelled, cancelled


def _flip(facets: NDArray[np.int32], which: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.where(which[:, None], facets[:, [0, 2, 1]], facets)
