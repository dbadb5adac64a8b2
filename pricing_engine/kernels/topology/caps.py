"""Close a mesh: the rims of its holes are joined to a point each."""

from __future__ import annotations

import numpy as np

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.topology.patches import edge_order, join_vertices, open_edges


def close_rims(mesh: Mesh) -> Mesh:
    """Cone the rims of the mesh to a point in the middle of each group of connected rim edges, caps last.

    A mesh whose directed edges cancel out is closed already and is returned as it is. O(n log n).
    """
    order, keys = edge_order(mesh.facets, len(mesh.vertices))
    edges = np.empty((3 * mesh.facet_count, 2), np.int64)
    edges = edges[: open_edges(mesh.facets, order, keys, edges)].copy()
    del order, keys
    if len(edges) == 0:
        return mesh
    parent = np.empty(len(mesh.vertices), np.int64)
    join_vertices(edges, parent)
    _, rim = np.unique(parent[edges[:, 0]], return_inverse=True)
    middle = (mesh.vertices[edges[:, 0]] + mesh.vertices[edges[:, 1]]) / 2
    length = np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1)
    total = np.bincount(rim, length)
    apex = np.stack([np.bincount(rim, length * middle[:, axis]) / total for axis in range(3)], axis=1)
    caps = np.column_stack([edges, len(mesh.vertices) + rim]).astype(np.int32)
    caps = caps[np.argsort(rim, kind="stable")]
    return Mesh(np.concatenate([mesh.vertices, apex]), np.concatenate([mesh.facets, caps]))
