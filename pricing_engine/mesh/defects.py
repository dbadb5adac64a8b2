"""Locations of the defects that :mod:`pricing_engine.mesh.integrity` counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.equal_facets import first_equals
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.topology.edge_matching import degenerate_facets
from pricing_engine.mesh.integrity import Topology, edge_keys
from pricing_engine.mesh.places import MAX_PLACES, Places, edge_places, facet_places
from pricing_engine.mesh.repair import DUPLICATES, RepairStep

Indices = NDArray[np.int64]


def defect_places(mesh: Mesh, topology: Topology, repairs: Sequence[RepairStep]) -> Mapping[str, Places]:
    """Return sample locations (mm) of each kind of defect, by check code. O(n), n log n for duplicates."""
    places: dict[str, Places] = {}
    if topology.boundary_edges or topology.non_manifold_edges:
        facet, corner = np.nonzero(topology.neighbours < 0)
        if not (topology.boundary_edges and topology.non_manifold_edges):
            code = "open_edges" if topology.boundary_edges else "non_manifold_edges"
            places[code] = edge_places(mesh, facet, corner)
        else:
            use_counts = _use_counts(mesh, facet, corner)
            for code, selected in (("open_edges", use_counts == 1), ("non_manifold_edges", use_counts > 2)):
                places[code] = edge_places(mesh, facet[selected], corner[selected])
    if topology.degenerate_facets:
        degenerate = np.empty(MAX_PLACES, np.int64)
        count = degenerate_facets(mesh.vertices, mesh.facets, degenerate)
        places["degenerate_facets"] = facet_places(mesh, degenerate[:count])
    removed = [step.where for step in repairs if step.code in DUPLICATES]
    if removed:
        places["duplicate_facets"] = removed[0]
    elif topology.duplicate_facets:
        copies = np.flatnonzero(first_equals(mesh.facets) != np.arange(mesh.facet_count))
        places["duplicate_facets"] = facet_places(mesh, copies)
    return places


def odd_edges(mesh: Mesh, topology: Topology) -> int:
    """Count the edges that an odd number of facets share: 0 for a closed surface."""
    if topology.watertight:
        return 0
    facet, corner = np.nonzero(topology.neighbours < 0)
    use_counts = _use_counts(mesh, facet, corner)
    return round(float((use_counts % 2 / use_counts).sum()))


def _use_counts(mesh: Mesh, facet: Indices, corner: Indices) -> Indices:
    """Return how many of the listed half-edges lie on the edge of each (n,)."""
    keys = edge_keys(mesh, facet, corner)
    order = np.argsort(keys)
    is_start = np.append(True, keys[order][1:] != keys[order][:-1])
    use_counts = np.empty(len(keys), np.int64)
    use_counts[order] = np.diff(np.append(np.flatnonzero(is_start), len(keys)))[np.cumsum(is_start) - 1]
    return use_counts
