"""Put a file's parts together: parts are stored once and placed by transforms (3MF items and components, GLB nodes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import FREE_COPIES, MAX_COPIES, MAX_FACETS, MAX_INSTANCED_FACETS


@dataclass(frozen=True, slots=True)
class PartMesh:
    """``vertices`` (V, 3) float64, ``facets`` (F, 3) integers, checked."""

    vertices: NDArray[np.float64]
    facets: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Instance:
    """``part`` placed by ``transform`` (4, 4): column vectors, x' = transform @ x."""

    part: PartMesh
    transform: NDArray[np.float64]


def check_facet_count(wanted: int, stored: int) -> None:
    """Raise :class:`CorruptModel` where repeating parts makes a model out of all proportion to the file."""
    most = min(MAX_INSTANCED_FACETS, max(FREE_COPIES, MAX_COPIES * stored))
    if wanted > max(most, stored) or wanted > MAX_FACETS:
        raise CorruptModel(f"the file repeats its parts into {wanted} facets, too many to read; export fewer copies")


def assemble(instances: Sequence[Instance]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """All instances as one (V, 3) float64, (F, 3) int32. Mirroring turns the facets round, so solids stay solid."""
    vertex_total = sum(len(i.part.vertices) for i in instances)
    facet_total = sum(len(i.part.facets) for i in instances)
    vertices, facets = np.empty((vertex_total, 3)), np.empty((facet_total, 3), np.int32)
    vertex, facet = 0, 0
    for instance in instances:
        part, matrix = instance.part, instance.transform
        placed, cut = vertices[vertex : vertex + len(part.vertices)], facets[facet : facet + len(part.facets)]
        if np.array_equal(matrix, np.eye(4)):
            placed[:] = part.vertices
        else:
            with np.errstate(all="ignore"):  # what overflows is refused with the other coordinates
                for axis in range(3):  # not a matrix product: equal points must stay bitwise equal in any block
                    m = matrix[axis]
                    x, y, z = part.vertices[:, 0], part.vertices[:, 1], part.vertices[:, 2]
                    placed[:, axis] = m[0] * x + m[1] * y + m[2] * z + m[3]
        mirrored = float(np.linalg.det(matrix[:3, :3])) < 0
        cut[:] = part.facets[:, ::-1] if mirrored else part.facets
        cut += vertex
        vertex += len(placed)
        facet += len(cut)
    return vertices, facets
