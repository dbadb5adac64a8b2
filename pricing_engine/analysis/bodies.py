"""Relations between the bodies of a model: separate pieces, and nested shells that may be solid or cavities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.pair_search import Pairs
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.solid.mass import body_volumes
from pricing_engine.kernels.solid.shell_containment import measure_boxes
from pricing_engine.kernels.spatial.bvh import Bvh
from pricing_engine.kernels.topology.patches import join_vertices
from pricing_engine.mesh.integrity import Topology
from pricing_engine.mesh.nesting import Nesting, nest
from pricing_engine.mesh.places import MAX_PLACES, Places, evenly_spaced, facet_places, first_members
from pricing_engine.mesh.shells import MIN_VOLUME_SHARE, Shells, find_shells


@dataclass(frozen=True, slots=True)
class Bodies:
    """The separate pieces and the nested shells of a model.

    ``pieces``: parts that neither touch nor overlap one another, with a location on each, the largest first, and the
    longest side (mm) of any piece's box. ``nested``: shells that lie entirely in another of the same orientation and
    cross none; ``side`` (F,) int8 is their orientation, 1 or -1, on their facets, and 0 on all others. Not
    ``complete``: the search exceeded its budget.
    """

    complete: bool
    pieces: int = 1
    piece_places: Places = ()
    longest_mm: float | None = None
    nested: int = 0
    nested_places: Places = ()
    side: NDArray[np.int8] | None = None


ONE_BODY = Bodies(complete=True)


def relate_bodies(mesh: Mesh, topology: Topology, bvh: Bvh, pairs: Pairs, threads: int) -> Bodies:
    """Relate the bodies of a repaired mesh; ``pairs`` are of its facets. A single body returns at once."""
    if topology.bodies == 1:
        return ONE_BODY
    volumes = np.abs(body_volumes(mesh, topology.facet_body, topology.bodies, threads))
    if np.count_nonzero(volumes > MIN_VOLUME_SHARE * volumes.max()) <= 1:
        return ONE_BODY
    shells = find_shells(mesh, topology, threads).without_negligible()
    nesting = nest(mesh, shells, bvh, pairs, threads)
    if nesting is None:
        return Bodies(complete=False)
    count, places, longest = _pieces(mesh, shells, nesting)
    nested = np.flatnonzero(_doubtful(shells, nesting))
    side = None
    if len(nested):
        side = np.where(np.isin(shells.of_facet, nested), shells.side[shells.of_facet], np.int8(0))
    where = facet_places(mesh, first_members(shells.of_facet, shells.count)[evenly_spaced(nested)])
    return Bodies(True, count, places, longest, len(nested), where, side)


def _doubtful(shells: Shells, nesting: Nesting) -> NDArray[np.bool_]:
    """Return the shells (S,) bool whose holder has the same orientation, both closed and without a common edge."""
    holder = nesting.holder
    same_side = (shells.side == shells.side[holder]) & (shells.side != 0) & (shells.body != shells.body[holder])
    doubtful: NDArray[np.bool_] = nesting.enclosed & same_side & shells.closed & shells.closed[holder]
    return doubtful


def _pieces(mesh: Mesh, shells: Shells, nesting: Nesting) -> tuple[int, Places, float | None]:
    """Return the number of pieces, a location on each of the largest, and the longest side of any piece's box."""
    holder, nested = nesting.holder, np.flatnonzero(nesting.holder >= 0)
    separate = (shells.side[nested] > 0) & (shells.side[holder[nested]] < 0)  # a solid in a cavity
    nested = nested[~separate]
    _, first_of_body = np.unique(shells.body, return_index=True)
    links = [nesting.near, np.stack([nested, holder[nested]], axis=1)]
    links.append(np.stack([np.arange(shells.count), first_of_body[shells.body]], axis=1))
    piece = np.empty(shells.count, np.int64)
    join_vertices(np.concatenate(links).astype(np.int64), piece)
    boxes = np.empty((shells.count, 6))
    measure_boxes(mesh.vertices, mesh.facets, shells.of_facet, boxes)
    order = np.lexsort((-shells.size, piece))  # the largest shell of each piece first
    order = order[shells.side[order] != 0]
    if len(order) == 0:
        return 1, (), None
    _, starts = np.unique(piece[order], return_index=True)
    low, high = np.minimum.reduceat(boxes[order, :3], starts), np.maximum.reduceat(boxes[order, 3:], starts)
    leading = order[starts]
    leading = leading[np.argsort(-shells.size[leading], kind="stable")][:MAX_PLACES]
    places = facet_places(mesh, first_members(shells.of_facet, shells.count)[leading])
    return len(starts), places, float((high - low).max())
