"""The shells of a mesh: its connected surfaces, parted where several meet at an edge, with volume and side out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.solid.mass import body_measures
from pricing_engine.kernels.topology.connected_components import label_bodies
from pricing_engine.kernels.topology.edge_pairing import pair_links
from pricing_engine.mesh.integrity import Topology

CRUMB = 1e-6
"""Of the volume of the largest: what has less is no piece, and no question."""

_FLAT_OPEN, _FLAT_CLOSED = 1e-3, 1e-20


@dataclass(frozen=True, slots=True)
class Shells:
    """``of_facet`` (F,) int32: each facet's shell, numbered by first facet. ``links`` (F, 3) int32: the facet of the
    same shell across each edge, -1 at a border of those that are not closed. ``body`` (S,): the body of each shell.

    ``volume`` (S,) mm3, signed. ``side`` (S,) int8: 1 for a shell with its outside out, -1 for one that is inside out,
    0 where the volume means nothing: for a closed shell rounding alone, for one with a border less than a thousandth of
    that of a sphere with its area (both squared), so that sheets are left alone. ``closed`` (S,) bool.
    """

    of_facet: Ints
    links: Ints
    body: Ints
    volume: Floats
    side: NDArray[np.int8]
    closed: NDArray[np.bool_]

    def without_crumbs(self) -> Shells:
        """The same shells, those of less than a millionth of the largest as if they had no volume."""
        size = self.size
        return replace(self, side=np.where(size > CRUMB * size.max(), self.side, np.int8(0)))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.side)

    @property
    def size(self) -> Floats:
        """Volume (S,) mm3 without sign, 0 where it means nothing.

        A shell that is inside out has a millionth more: where two of one size hold a third, the other one counts.
        """
        return np.abs(self.volume) * np.where(self.side < 0, 1 + 1e-6, np.abs(self.side))


def find_shells(mesh: Mesh, topology: Topology, threads: int) -> Shells:
    """Part the mesh into shells: O(n), and n log n in the edges that more than two facets share."""
    links, of_facet, count = topology.neighbours, topology.facet_body, topology.bodies
    sealed = topology.winding_consistent and topology.boundary_edges == 0
    if topology.non_manifold_edges:
        patch, patches = label_bodies(links, threads)
        if patches > count or not sealed:
            links = pair_links(mesh, links, patch)
            of_facet, count = label_bodies(links, threads)
    volume, area = body_measures(mesh, of_facet, count, threads)
    closed = np.ones(count, np.bool_)
    if not sealed:
        closed[of_facet[(links < 0).any(axis=1)]] = False
    roundness = np.divide(36 * np.pi * volume**2, area**3, out=np.zeros_like(volume), where=area > 0)
    told = roundness > np.where(closed, _FLAT_CLOSED, _FLAT_OPEN)
    side = np.where(told, np.sign(volume), 0).astype(np.int8)
    body = np.zeros(count, np.int32)
    body[of_facet] = topology.facet_body
    return Shells(of_facet, links, body, volume, side, closed)
