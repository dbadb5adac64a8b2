"""Light repair: changes that keep the shape, counted and reported.

In this order: remove facets with a repeated vertex; cancel each facet against its reverse; of duplicates with the same
orientation retain one, unless the surface is already closed; flip facets against the winding of their patch; flip
shells that are inside out. A shell is inside out if its signed volume is negative, unless another encloses it and it
crosses none: then it is a cavity. Where the enclosing shell is flipped, an enclosed one of opposite orientation is
flipped too: the cavities of a part that is completely inside out stay cavities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.topology.winding_repair import may_repeat, minority_flips, renumber
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.nesting import nest, pairs_near
from pricing_engine.mesh.places import Places, facet_places, first_members
from pricing_engine.mesh.raw_mesh import has_distinct_corners
from pricing_engine.mesh.shells import Shells, find_shells

TURNED = "bodies_turned"
"""Code of the :class:`RepairStep` of shells that were inside out."""

DUPLICATES = "duplicate_facets_removed", "opposite_facets_removed"
"""Codes of the :class:`RepairStep` of facets on the same vertices."""

UNDECIDED = "inverted_bodies_undecided"
"""Code of a :class:`RepairStep` not applied: bodies inside out among too many others to find which enclose them."""


@dataclass(frozen=True, slots=True)
class RepairStep:
    """One kind of repair and how many facets (for ``bodies_turned``: shells) it changed.

    ``where`` (n, 3) mm: sample locations. ``doubtful``: the repair may be unintended and needs a manual review.
    """

    code: str
    count: int
    where: Places = ()
    doubtful: bool = False


def repair(mesh: Mesh, topology: Topology, threads: int) -> tuple[Mesh, tuple[RepairStep, ...]]:
    """Return the repaired mesh, in canonical order, and the repairs; the same object if there are none.

    A mesh that would lose all facets stays unchanged. O(n), and n log n where there are duplicates.
    """
    current, steps = mesh, list[RepairStep]()
    facets = mesh.facets
    retained = np.flatnonzero(has_distinct_corners(facets))
    if len(retained) < len(facets):
        removed = np.setdiff1d(np.arange(len(facets)), retained, assume_unique=True)
        steps.append(RepairStep("degenerate_facets_removed", len(removed), facet_places(mesh, removed)))
    closed = False
    if topology.duplicate_facets:
        closed = topology.winding_consistent and topology.boundary_edges == 0
        if closed:  # before facets cancel: a body and its inverted copy are two bodies
            facets = _flip_inverted(mesh, topology, threads, steps)
        repeats = may_repeat(mesh.facets, topology.neighbours)
        candidates = retained[repeats[retained]]
        without_copies, repeat_count, opposite_count = _without_duplicates(facets, candidates, closed)
        removed = np.setdiff1d(candidates, without_copies, assume_unique=True)
        retained = np.setdiff1d(retained, removed, assume_unique=True)
        where = facet_places(mesh, removed)
        steps += [
            RepairStep(code, count, where)
            for code, count in zip(DUPLICATES, (repeat_count, opposite_count), strict=True)
        ]
    if len(retained) == 0:
        return mesh, ()
    if len(retained) < len(facets) or facets is not mesh.facets:
        current = Mesh(*renumber(mesh.vertices, facets[retained]))
        topology = measure_topology(current, threads)
    facets = current.facets
    if not topology.winding_consistent:
        flipped = minority_flips(facets, topology.neighbours).astype(np.bool_)
        steps.append(RepairStep("facets_flipped", int(flipped.sum()), facet_places(current, np.flatnonzero(flipped))))
        facets = _flip(facets, flipped)
        neighbours = np.where(flipped[:, None], topology.neighbours[:, ::-1], topology.neighbours)
        topology = replace(topology, neighbours=neighbours)
    if not closed:
        facets = _flip_inverted(Mesh(current.vertices, facets), topology, threads, steps)
    if facets is not current.facets:
        current = Mesh(*renumber(current.vertices, facets))
    applied = tuple(step for step in steps if step.count)
    return (current, applied) if applied else (mesh, ())


def _flip_inverted(mesh: Mesh, topology: Topology, threads: int, steps: list[RepairStep]) -> NDArray[np.int32]:
    """Return the facets with inverted shells flipped, the same object if there are none; append to ``steps``."""
    shells = find_shells(mesh, topology, threads)
    inverted = inverted_shells(mesh, shells, threads)
    for code, which, doubtful in ((TURNED, inverted.flip, inverted.doubtful), (UNDECIDED, inverted.undecided, True)):
        before = next((step for step in steps if step.code == code), RepairStep(code, 0))
        if count := int(which.sum()):
            where = facet_places(mesh, first_members(shells.of_facet, shells.count)[which])
            steps[:] = [step for step in steps if step is not before]
            steps.append(RepairStep(code, before.count + count, before.where or where, before.doubtful or doubtful))
    return _flip(mesh.facets, inverted.flip[shells.of_facet]) if inverted.flip.any() else mesh.facets


@dataclass(frozen=True, slots=True)
class Inverted:
    """The shells that are inside out.

    ``flip`` (S,) bool: the shells to flip. ``doubtful``: one of them crosses another, and may be meant as a
    subtraction, or encloses one that is inside out too. ``undecided`` (S,) bool: too many other shells to decide.
    """

    flip: NDArray[np.bool_]
    doubtful: bool
    undecided: NDArray[np.bool_]


def inverted_shells(mesh: Mesh, shells: Shells, threads: int) -> Inverted:
    """Find the shells that are inside out and not cavities.

    All of negative volume are undecided where the search takes more than c n log2 n steps or too many facets meet.
    """
    inverted, none = shells.side < 0, np.zeros(shells.count, np.bool_)
    if shells.count == 1 or not inverted.any():
        return Inverted(inverted, False, none)
    bvh = build_bvh(mesh, threads)
    nesting = nest(mesh, shells, bvh, pairs_near(mesh, shells, bvh, inverted, threads), threads)
    if nesting is None:
        return Inverted(none, False, inverted)
    holder, flip = nesting.holder, inverted & ~nesting.enclosed
    doubtful = bool((flip & nesting.crosses).any())
    enclosed = np.flatnonzero(nesting.enclosed)
    for shell in enclosed[np.argsort(-shells.size[enclosed], kind="stable")]:  # enclosing shells before enclosed ones
        if flip[holder[shell]] and shells.side[shell]:
            flip[shell] = shells.side[shell] != shells.side[holder[shell]]
            doubtful |= not flip[shell]
    return Inverted(flip, doubtful, none)


def _without_duplicates(
    facets: NDArray[np.int32], retained: NDArray[np.int64], closed: bool
) -> tuple[NDArray[np.int64], int, int]:
    """Return the facets of ``retained`` to keep, the count of repeats, and the count cancelled by their reverse.

    Of facets on the same three vertices as many remain as one orientation outnumbers the other; at most one on an open
    surface. Dropping a repeat would tear a ``closed`` surface, since two shells may share a face.
    """
    a, b, c = facets[retained].T.astype(np.int64)
    if len(retained) == 0:
        return retained, 0, 0
    corners = np.sort(facets[retained], axis=1)
    is_odd = ((a > b).astype(np.int8) + (b > c) + (c > a)) == 2  # two cyclic descents: an odd permutation
    order = np.lexsort((retained, is_odd, corners[:, 2], corners[:, 1], corners[:, 0]))
    corners, is_odd = corners[order], is_odd[order]
    group = np.cumsum(np.append(False, (corners[1:] != corners[:-1]).any(axis=1)))
    odds = np.bincount(group, is_odd).astype(np.int64)
    evens = np.bincount(group) - odds
    first = np.searchsorted(group, np.arange(len(odds)))
    # Rank among the facets of the same orientation.
    rank = np.arange(len(group)) - first[group] - np.where(is_odd, evens[group], 0)
    surplus = np.abs(evens - odds)
    quota = surplus if closed else np.minimum(surplus, 1)
    is_retained = (is_odd == (odds > evens)[group]) & (rank < quota[group])
    cancelled = 2 * int(np.minimum(evens, odds).sum())
    return np.sort(retained[order[is_retained]]), len(retained) - int(is_retained.sum()) - cancelled, cancelled


def _flip(facets: NDArray[np.int32], which: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.where(which[:, None], facets[:, [0, 2, 1]], facets)
