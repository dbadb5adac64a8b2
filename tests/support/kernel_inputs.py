"""Small meshes for tests of kernels, drawn by hypothesis: duplicates, facets without area, ties, large coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Mesh
from tests.support.meshes import welded

Floats = NDArray[np.float64]

TETRAHEDRON: Floats = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])[
    [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
]
BOX: Floats = np.array(trimesh.creation.box().triangles)
BALL: Floats = np.array(trimesh.creation.icosphere(1).triangles)
_SCALES = (1.0, 1e-3, 1e4)


def randoms() -> st.SearchStrategy[np.random.Generator]:
    """Return generators of random numbers, one for each seed."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def normals_of(corners: Floats) -> Floats:
    """Return unit normals (n, 3), 0 for triangles without area."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    unit: Floats = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    return unit


@st.composite
def triangles(draw: st.DrawFn, least: int = 0, most: int = 20, flat: bool = True, far: bool = True) -> Floats:
    """Draw triangles (n, 3, 3): on a lattice or loose, some equal, some ``flat``, some ``far`` from the origin."""
    count, random = draw(st.integers(least, most)), draw(randoms())
    if draw(st.booleans()):
        corners = random.integers(-3, 4, (count, 3, 3)).astype(np.float64)
    else:
        corners = random.normal(0, 2, (count, 1, 3)) + random.normal(0, 1, (count, 3, 3))
    if count:
        corners[random.random(count) < 0.1] = corners[0]
    if flat:
        corners[random.random(count) < 0.1, 2] = 0.0
        chosen = random.random(count) < 0.1
        corners[chosen, 1] = corners[chosen, 0]
    else:
        thin = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) < 0.1
        corners[thin] = TETRAHEDRON[3] + corners[thin, :1]
    scale = draw(st.sampled_from(_SCALES))
    moved: Floats = scale * (corners + (draw(st.sampled_from([0.0, 1e3])) if far else 0.0))
    return moved


@st.composite
def meshes(draw: st.DrawFn, least: int = 0, most: int = 20, flat: bool = True, far: bool = True) -> Mesh:
    """Draw welded triangles."""
    return welded(draw(triangles(least, most, flat, far)))


def turned(part: Floats, random: np.random.Generator) -> Floats:
    """Return triangles turned at random."""
    rotation: Floats = trimesh.transformations.random_rotation_matrix(random.random(3))[:3, :3]
    return part @ rotation.T


@st.composite
def shells(
    draw: st.DrawFn,
    least: int = 1,
    most: int = 4,
    reversible: bool = True,
    shapes: Sequence[Floats] = (TETRAHEDRON, BOX),
) -> list[Floats]:
    """Draw closed surfaces (n, 3, 3) that overlap or lie apart, some inside out; on a lattice they share planes."""
    count, random, lattice = draw(st.integers(least, most)), draw(randoms()), draw(st.booleans())
    parts = []
    for _ in range(count):
        part = shapes[int(random.integers(len(shapes)))]
        if lattice:
            part = part * random.integers(1, 4, 3) * 2 + random.integers(-2, 3, 3)
        else:
            part = turned(part * random.uniform(0.5, 3, 3), random) + random.normal(0, 1, 3)
        parts.append(part[:, ::-1] if reversible and random.random() < 0.3 else part)
    return parts
