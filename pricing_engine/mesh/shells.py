"""The shells of a mesh: connected surfaces, separated where several meet at an edge, with volume and orientation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Ints, Mesh
from pricing_engine.kernels.solid.mass import body_measures
from pricing_engine.kernels.topology.connected_components import label_bodies
from pricing_engine.kernels.topology.edge_pairing import pair_links
from pricing_engine.mesh.integrity import Topology

MIN_VOLUME_SHARE = 1e-6
"""Shells below this share of the largest volume do not count as pieces."""

_MIN_ROUNDNESS_OPEN, _MIN_ROUNDNESS_CLOSED = 1e-3, 1e-20


@dataclass(frozen=True, slots=True)
class Shells:
    """The shells of a mesh: facets connected across paired edges.

    ``of_facet`` (F,) int32: each facet's shell, numbered by first facet. ``links`` (F, 3) int32: the neighbour
    facet of the same shell across each edge, -1 at a border. ``body`` (S,): the body of each shell.

    ``volume`` (S,) mm3, signed. ``side`` (S,) int8: 1 for a shell with its outside out, -1 for one inside out, 0 where
    the volume is not significant: rounding alone for a closed shell; for an open one less than a thousandth of that of
    a sphere of equal area (both squared), so that sheets stay as they are. ``closed`` (S,) bool.
    """

    of_facet: Ints
    links: Ints
    body: Ints
    volume: Floats
    side: NDArray[np.int8]
    closed: NDArray[np.bool_]

    def without_negligible(self) -> Shells:
        """Return the shells with ``side`` 0 for those below a millionth of the largest volume."""
        size = self.size
        return replace(self, side=np.where(size > MIN_VOLUME_SHARE * size.max(), self.side, np.int8(0)))

    @property
    def count(self) -> int:
        """Return the number of shells S."""
        return len(self.side)

    @property
    def size(self) -> Floats:
        """Return the absolute volume (S,) mm3, 0 where it is not significant.

        Shells inside out get a millionth more: of two equal shells around a third, the other one encloses it.
        """
        return np.abs(self.volume) * np.where(self.side < 0, 1 + 1e-6, np.abs(self.side))


def find_shells(mesh: Mesh, topology: Topology, threads: int) -> Shells:
    """Separate the mesh into shells: O(n), and n log n in the edges that more than two facets share."""
    links, of_facet, count = topology.neighbours, topology.facet_body, topology.bodies
    closed_surface = topology.winding_consistent and topology.boundary_edges == 0
    if topology.non_manifold_edges:
        patch, patches = label_bodies(links, threads)
        if patches > count or not closed_surface:
            links = pair_links(mesh, links, patch)
            of_facet, count = label_bodies(links, threads)
    volume, area = body_measures(mesh, of_facet, count, threads)
    closed = np.ones(count, np.bool_)
    if not closed_surface:
        closed[of_facet[(links < 0).any(axis=1)]] = False
    roundness = np.divide(36 * np.pi * volume**2, area**3, out=np.zeros_like(volume), where=area > 0)
    significant = roundness > np.where(closed, _MIN_ROUNDNESS_CLOSED, _MIN_ROUNDNESS_OPEN)
    side = np.where(significant, np.sign(volume), 0).astype(np.int8)
    body = np.zeros(count, np.int32)
    body[of_facet] = topology.facet_body
    return Shells(of_facet, links, body, volume, side, closed)
