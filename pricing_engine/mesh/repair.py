"""Light repair: only what leaves the shape as it is, counted and reported.

In this order: facets with a repeated vertex go; a facet and its reverse cancel; of duplicates with the same orientation
one stays, unless the surface is closed as it is; facets that disagree with the winding of their patch are flipped;
shells that are inside out are turned. A shell is inside out if its signed volume is negative, unless it lies wholly in
another and crosses none: then it is a cavity and stays. Where its holder is turned, a shell with the opposite side out
turns with it: the cavities of a part that is inside out as a whole stay cavities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.kernels.topology.winding_repair import may_repeat, minority_flips, renumber
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.nesting import nest, pairs_about
from pricing_engine.mesh.places import Places, facet_places, first_members
from pricing_engine.mesh.shells import Shells, find_shells

TURNED = "bodies_turned"
"""Code of the :class:`Repair` of shells that were inside out."""

DUPLICATES = "duplicate_facets_removed", "opposite_facets_removed"
"""Codes of the :class:`Repair` of facets on the same vertices."""

UNDECIDED = "inverted_bodies_undecided"
"""Code of a :class:`Repair` that was left: bodies inside out among too many others to tell which enclose them."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One kind of repair and how many facets (for ``bodies_turned``: shells) it changed.

    ``where`` (n, 3) mm: some of the places. ``doubtful``: it may not be what is meant, so a person must look.
    """

    code: str
    count: int
    where: Places = ()
    doubtful: bool = False


def repair(mesh: Mesh, topology: Topology, threads: int) -> tuple[Mesh, tuple[Repair, ...]]:
    """The mended mesh, in canonical order, and what was done; the same object if nothing was.

    A mesh whose facets would all go is left as it is. O(n), and n log n where there are duplicates.
    """
    current, done = mesh, list[Repair]()
    facets = mesh.facets
    kept = _distinct_corners(facets)
    if len(kept) < len(facets):
        gone = np.setdiff1d(np.arange(len(facets)), kept, assume_unique=True)
        done.append(Repair("degenerate_facets_removed", len(gone), facet_places(mesh, gone)))
    closed = False
    if topology.duplicate_facets:
        closed = topology.winding_consistent and topology.boundary_edges == 0
        if closed:  # before facets cancel: a body and a copy of it that is inside out are two
            facets = _turn(mesh, topology, threads, done)
        repeats = may_repeat(mesh.facets, topology.neighbours)  # type: ignore[no-untyped-call]
        copies = kept[repeats[kept]]
        staying, repeated, opposite = _without_duplicates(facets, copies, closed)
        gone = np.setdiff1d(copies, staying, assume_unique=True)
        kept = np.setdiff1d(kept, gone, assume_unique=True)
        where = facet_places(mesh, gone)
        done += [Repair(code, count, where) for code, count in zip(DUPLICATES, (repeated, opposite), strict=True)]
    if len(kept) == 0:
        return mesh, ()
    if len(kept) < len(facets) or facets is not mesh.facets:
        current = Mesh(*renumber(mesh.vertices, facets[kept]))  # type: ignore[no-untyped-call]
        topology = measure_topology(current, threads)
    facets = current.facets
    if not topology.winding_consistent:
        flipped = minority_flips(facets, topology.neighbours).astype(np.bool_)  # type: ignore[no-untyped-call]
        done.append(Repair("facets_flipped", int(flipped.sum()), facet_places(current, np.flatnonzero(flipped))))
        facets = _flip(facets, flipped)
        neighbours = np.where(flipped[:, None], topology.neighbours[:, ::-1], topology.neighbours)
        topology = replace(topology, neighbours=neighbours)
    if not closed:
        facets = _turn(Mesh(current.vertices, facets), topology, threads, done)
    if facets is not current.facets:
        current = Mesh(*renumber(current.vertices, facets))  # type: ignore[no-untyped-call]
    told = tuple(entry for entry in done if entry.count)
    return (current, told) if told else (mesh, ())


def _turn(mesh: Mesh, topology: Topology, threads: int, done: list[Repair]) -> NDArray[np.int32]:
    """The facets with the shells turned that are inside out, the same object if none is; adds to ``done``."""
    shells = find_shells(mesh, topology, threads)
    inverted = inverted_shells(mesh, shells, threads)
    for code, which, doubtful in ((TURNED, inverted.turn, inverted.doubtful), (UNDECIDED, inverted.undecided, True)):
        before = next((entry for entry in done if entry.code == code), Repair(code, 0))
        if count := int(which.sum()):
            where = facet_places(mesh, first_members(shells.of_facet, shells.count)[which])
            done[:] = [entry for entry in done if entry is not before]
            done.append(Repair(code, before.count + count, before.where or where, before.doubtful or doubtful))
    return _flip(mesh.facets, inverted.turn[shells.of_facet]) if inverted.turn.any() else mesh.facets


@dataclass(frozen=True, slots=True)
class Inverted:
    """``turn`` (S,) bool: the shells to turn. ``doubtful``: one of them runs through another, and may be meant to be
    cut away, or holds one that is inside out as well. ``undecided`` (S,) bool: too many others to tell.
    """

    turn: NDArray[np.bool_]
    doubtful: bool
    undecided: NDArray[np.bool_]


def inverted_shells(mesh: Mesh, shells: Shells, threads: int) -> Inverted:
    """Which shells are inside out and no cavities.

    Undecided are all of negative volume where to tell takes more than c n log2 n steps, or too many facets meet.
    """
    inverted, none = shells.side < 0, np.zeros(shells.count, np.bool_)
    if shells.count == 1 or not inverted.any():
        return Inverted(inverted, False, none)
    bvh = build_bvh(mesh, threads)
    nesting = nest(mesh, shells, bvh, pairs_about(mesh, shells, bvh, inverted, threads), threads)
    if nesting is None:
        return Inverted(none, False, inverted)
    holder, turn = nesting.holder, inverted & ~nesting.enclosed
    doubtful = bool((turn & nesting.crosses).any())
    held = np.flatnonzero(nesting.enclosed)
    for shell in held[np.argsort(-shells.size[held], kind="stable")]:  # holders before what they hold
        if turn[holder[shell]] and shells.side[shell]:
            turn[shell] = shells.side[shell] != shells.side[holder[shell]]
            doubtful |= not turn[shell]
    return Inverted(turn, doubtful, none)


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
    if len(kept) == 0:
        return kept, 0, 0
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
