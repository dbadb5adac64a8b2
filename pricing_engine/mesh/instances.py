"""Place parts by transforms and merge them into one mesh (3MF items and components, glTF nodes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import MAX_FACETS, MAX_INSTANCED_FACETS, MAX_REPEAT_RATIO, REPEAT_ALLOWANCE


@dataclass(frozen=True, slots=True)
class PartMesh:
    """``vertices`` (V, 3) float64, ``facets`` (F, 3) integers, indices checked."""

    vertices: NDArray[np.float64]
    facets: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Instance:
    """``part`` placed by ``transform`` (4, 4): column vectors, x' = transform @ x."""

    part: PartMesh
    transform: NDArray[np.float64]


def check_facet_count(facets: int, stored_facets: int) -> None:
    """Raise :class:`CorruptModel` where repeated parts multiply the stored facets beyond the limits."""
    limit = min(MAX_INSTANCED_FACETS, max(REPEAT_ALLOWANCE, MAX_REPEAT_RATIO * stored_facets))
    if facets > max(limit, stored_facets) or facets > MAX_FACETS:
        raise CorruptModel(f"the file repeats its parts into {facets} facets, too many to read; export fewer copies")


def assemble(instances: Sequence[Instance]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Merge all instances: (V, 3) float64, (F, 3) int32. Mirrored parts get reversed facets, so solids stay solid."""
    vertex_total = sum(len(i.part.vertices) for i in instances)
    facet_total = sum(len(i.part.facets) for i in instances)
    vertices, facets = np.empty((vertex_total, 3)), np.empty((facet_total, 3), np.int32)
    vertex, facet = 0, 0
    for instance in instances:
        part, matrix = instance.part, instance.transform
        placed, part_facets = vertices[vertex : vertex + len(part.vertices)], facets[facet : facet + len(part.facets)]
        if np.array_equal(matrix, np.eye(4)):
            placed[:] = part.vertices
        else:
            with np.errstate(all="ignore"):  # overflow is rejected by the check of coordinates
                for axis in range(3):  # not a matrix product: equal points must stay bitwise equal in any block
                    m = matrix[axis]
                    x, y, z = part.vertices[:, 0], part.vertices[:, 1], part.vertices[:, 2]
                    placed[:, axis] = m[0] * x + m[1] * y + m[2] * z + m[3]
        mirrored = float(np.linalg.det(matrix[:3, :3])) < 0
        part_facets[:] = part.facets[:, ::-1] if mirrored else part.facets
        part_facets += vertex
        vertex += len(placed)
        facet += len(part_facets)
    return vertices, facets
