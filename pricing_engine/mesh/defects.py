"""Where a mesh is broken: places for what :mod:`pricing_engine.mesh.integrity` counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.equal_facets import first_equals
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.topology.edge_matching import degenerate_facets
from pricing_engine.mesh.integrity import Topology
from pricing_engine.mesh.places import MOST_PLACES, Places, edge_places, facet_places
from pricing_engine.mesh.repair import DUPLICATES, Repair

Indices = NDArray[np.int64]


def defect_places(mesh: Mesh, topology: Topology, repairs: Sequence[Repair]) -> Mapping[str, Places]:
    """Some places (mm) of each kind of defect, by the code of its check. O(n), n log n for copies left."""
    found: dict[str, Places] = {}
    if topology.boundary_edges or topology.non_manifold_edges:
        facet, corner = np.nonzero(topology.neighbours < 0)
        if not (topology.boundary_edges and topology.non_manifold_edges):
            code = "open_edges" if topology.boundary_edges else "non_manifold_edges"
            found[code] = edge_places(mesh, facet, corner)
        else:
            uses = _uses(mesh, facet, corner)
            for code, kind in (("open_edges", uses == 1), ("non_manifold_edges", uses > 2)):
                found[code] = edge_places(mesh, facet[kind], corner[kind])
    if topology.degenerate_facets:
        numbers = np.empty(MOST_PLACES, np.int64)
        count = degenerate_facets(mesh.vertices, mesh.facets, numbers)  # type: ignore[no-untyped-call]
        found["degenerate_facets"] = facet_places(mesh, numbers[:count])
    gone = [done.where for done in repairs if done.code in DUPLICATES]
    if gone:
        found["duplicate_facets"] = gone[0]
    elif topology.duplicate_facets:
        again = np.flatnonzero(first_equals(mesh.facets) != np.arange(mesh.facet_count))
        found["duplicate_facets"] = facet_places(mesh, again)
    return found


def odd_edges(mesh: Mesh, topology: Topology) -> int:
    """How many edges join an odd number of facets: none where the surface is closed."""
    if topology.watertight:
        return 0
    facet, corner = np.nonzero(topology.neighbours < 0)
    uses = _uses(mesh, facet, corner)
    return round(float((uses % 2 / uses).sum()))


def _uses(mesh: Mesh, facet: Indices, corner: Indices) -> Indices:
    """How many facets share each of the edges (n,)."""
    start, end = mesh.facets[facet, corner].astype(np.int64), mesh.facets[facet, (corner + 1) % 3]
    keys = np.minimum(start, end) * len(mesh.vertices) + np.maximum(start, end)
    order = np.argsort(keys)
    begins = np.append(True, keys[order][1:] != keys[order][:-1])
    uses = np.empty(len(keys), np.int64)
    uses[order] = np.diff(np.append(np.flatnonzero(begins), len(keys)))[np.cumsum(begins) - 1]
    return uses
