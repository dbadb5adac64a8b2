"""Shapes for tests of support volumes, built at each call.

Solids at module level live until the interpreter exits, where manifold3d reports them as leaks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from manifold3d import Manifold

from pricing_engine.kernels.mesh import Mesh
from tests.support.meshes import Floats, Solid, mesh_in_blocks, rotation, surface_of, triangles_of

LAYER = 0.05
ROTATION: Floats = rotation(0.7, [0.3, -0.5, 0.8])


def block(size: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 0)) -> Solid:
    """Return an axis-parallel box with its lowest corner at ``at``."""
    return Manifold.cube(size).translate(at)


def mesh_of_solid(solid: Solid) -> Mesh:
    """Return a solid of manifold3d as a mesh."""
    return mesh_in_blocks(triangles_of([surface_of(solid)]))


def union_of(part: Callable[[int], Solid], count: int) -> Solid:
    """Return the union of ``part(0)``, ``part(1)`` ..."""
    return sum((part(k) for k in range(count)), Manifold())


def t_shape() -> Solid:
    return block((2, 2, 10), (4, 4, 0)) + block((10, 10, 2), (0, 0, 10))


def table() -> Solid:
    top = block((10, 8, 1), (0, 0, 6))
    return top + union_of(lambda k: block((1, 1, 6), (9 * (k % 2), 7 * (k // 2), 0)), 4)


def bridge() -> Solid:
    return block((12, 4, 5)) - block((6, 4, 3), (3, 0, 0))


def shelter() -> Solid:
    """Return the table over a box that is lower than its top."""
    return table() + block((3, 2.5, 2.3), (3.1, 2.2, 0))


def brick() -> Solid:
    return block((3, 4, 5))


def cube_and_floating_plate() -> Solid:
    return block((1, 1, 1)) + block((2, 2, 1), (5, 0, 3))


def balls() -> Solid:
    """Return eight balls, four above four."""
    return union_of(lambda k: Manifold.sphere(1, 16).translate((2.5 * (k & 1), 2.5 * (k >> 1 & 1), 2.5 * (k >> 2))), 8)


def fins() -> Solid:
    """Return thin plates along x through thin plates along y."""

    def cross(k: int) -> Solid:
        return block((10, 0.3, 4), (0, 2 * k + 0.5, 0)) + block((0.3, 10, 3), (2 * k + 0.5, 0, 1))

    return union_of(cross, 5)


def shelves() -> Solid:
    """Return thin plates above one another, each a little aside."""
    return union_of(lambda k: block((6, 6, 0.1), (0.2 * k, 0.1 * k, k)), 6)


def star() -> Solid:
    """Return two cones of slivers with their tips up."""
    return Manifold.cylinder(3, 5, 0.01, 90) + Manifold.cylinder(0.5, 0.01, 6, 90).translate((0, 0, 3))


CLOSED_FORMS: list[tuple[Callable[[], Solid], float]] = [
    (t_shape, 96 * 10),
    (table, 76 * 6),
    (bridge, 6 * 4 * 3),
    (shelter, 76 * 6 - 3 * 2.5 * 2.3),
    (brick, 0),
    (cube_and_floating_plate, 12),
]
"""Shapes with their support volumes (mm3)."""

HARD: list[Callable[[], Solid]] = [balls, fins, shelves, star]
"""Shapes with many layers, thin fins and slivers."""


def random_solid(seed: int) -> Solid:
    """Return a random union of boxes and balls."""
    rng = np.random.default_rng(seed)
    shape = Manifold()
    for _ in range(7):
        part = Manifold.cube(rng.uniform(0.5, 4, 3)) if rng.random() < 0.6 else Manifold.sphere(rng.uniform(0.5, 2), 24)
        shape += part.rotate(rng.uniform(0, 90, 3)).translate(rng.uniform(-3, 3, 3))
    return shape
