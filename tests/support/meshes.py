"""Solids of trimesh and manifold3d for tests, and both as meshes of the kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import manifold3d
import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

from pricing_engine.kernels.mesh import Mesh
from pricing_engine.mesh.weld import canonical_indexed
from tests.support import model_files

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
Solid: TypeAlias = manifold3d.Manifold


def box(low: Sequence[float], high: Sequence[float], inverted: bool = False) -> trimesh.Trimesh:
    """Return an axis-parallel box between two corners."""
    solid: trimesh.Trimesh = trimesh.creation.box(bounds=[low, high])
    if inverted:
        solid.invert()
    return solid


def cube(low: float, high: float, inverted: bool = False) -> trimesh.Trimesh:
    """Return a box with the same limits on all three axes."""
    return box((low,) * 3, (high,) * 3, inverted)


def concatenated(parts: Iterable[trimesh.Trimesh]) -> trimesh.Trimesh:
    """Return the parts as one mesh; they share no vertex."""
    both = trimesh.util.concatenate(list(parts))
    assert isinstance(both, trimesh.Trimesh)
    return both


def rotation(angle: float, axis: ArrayLike) -> Floats:
    """Return the matrix (3, 3) of a rotation by ``angle`` (radians)."""
    return np.asarray(trimesh.transformations.rotation_matrix(angle, axis), np.float64)[:3, :3]


def random_rotation(random: np.random.Generator) -> Floats:
    """Return the matrix (3, 3) of a random rotation."""
    return np.asarray(trimesh.transformations.random_rotation_matrix(random.random(3)), np.float64)[:3, :3]


def rotated(part: trimesh.Trimesh, matrix: Floats) -> trimesh.Trimesh:
    """Return a copy of the part, rotated about the origin by a matrix (3, 3)."""
    return trimesh.Trimesh(part.vertices @ matrix.T, part.faces, process=False)


def moved(part: trimesh.Trimesh, *offset: float) -> trimesh.Trimesh:
    """Return a copy of the part, moved by an offset along x, y and z."""
    copy: trimesh.Trimesh = part.copy()
    copy.apply_translation(offset)
    return copy


def inside_out(part: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return a copy of the part with its facets reversed."""
    reversed_part: trimesh.Trimesh = part.copy()
    reversed_part.invert()
    return reversed_part


def write_off(folder: Path, *parts: trimesh.Trimesh) -> Path:
    """Write the parts as one OFF file, which keeps float64 positions and vertex numbers; return its path."""
    model, path = concatenated(parts), folder / "model.off"
    path.write_bytes(model_files.off(model.vertices, model.faces.tolist()))
    return path


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Return the triangles of a file as trimesh reads them, unprocessed."""
    mesh = trimesh.load(path, force="mesh", process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


def triangles_of(parts: Iterable[trimesh.Trimesh]) -> Floats:
    """Return the corners (n, 3, 3) of the facets of all parts."""
    return np.concatenate([np.asarray(part.vertices, np.float64)[np.asarray(part.faces)] for part in parts])


def welded(*parts: ArrayLike) -> Mesh:
    """Return the triangles (n, 3, 3) of all parts as one mesh, in their order; equal positions are one vertex."""
    corners = np.concatenate([np.empty((0, 3)), *(np.asarray(part, np.float64).reshape(-1, 3) for part in parts)]) + 0.0
    vertices, index = np.unique(corners, axis=0, return_inverse=True)
    return Mesh(np.ascontiguousarray(vertices), np.ascontiguousarray(index.reshape(-1, 3).astype(np.int32)))


def unwelded(triangles: ArrayLike) -> Mesh:
    """Return triangles (n, 3, 3) as a mesh, in their order, each with three vertices of its own."""
    corners = np.asarray(triangles, np.float64).reshape(-1, 3) + 0.0
    return Mesh(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))


def sorted_mesh(triangles: ArrayLike) -> Mesh:
    """Return triangles (n, 3, 3) as a mesh, welded and sorted by their centroids: by z, then y, then x."""
    corners = np.asarray(triangles, np.float64) + 0.0
    return welded(corners[np.lexsort(corners.mean(axis=1).T)])


def mesh_of(*parts: trimesh.Trimesh) -> Mesh:
    """Return the parts as one mesh, welded and sorted by the facets' centroids."""
    return sorted_mesh(triangles_of(parts))


def mesh_in_blocks(triangles: ArrayLike) -> Mesh:
    """Return triangles (n, 3, 3) as a welded mesh whose facets are sorted by 16 blocks an axis, near ones together."""
    mesh = welded(triangles)
    middle = mesh.vertices[mesh.facets].mean(axis=1)
    block = np.floor((middle - middle.min(axis=0)) / (np.ptp(mesh.vertices, axis=0).max() / 16 + 1e-30))
    return Mesh(mesh.vertices, np.ascontiguousarray(mesh.facets[np.lexsort((*middle.T, *block.T))]))


def canonical(*parts: trimesh.Trimesh, threads: int = 1) -> Mesh:
    """Return the parts as one mesh in canonical order, as a reader returns it."""
    both = concatenated(parts)
    return canonical_indexed(np.asarray(both.vertices, np.float64), np.asarray(both.faces), threads)


def solid_of(mesh: trimesh.Trimesh) -> Solid:
    """Return a closed mesh as a solid of manifold3d."""
    return manifold3d.Manifold(manifold3d.Mesh64(np.array(mesh.vertices, float), np.array(mesh.faces, np.uint64)))


def surface_of(solid: Solid) -> trimesh.Trimesh:
    """Return the surface of a solid of manifold3d."""
    mesh = solid.to_mesh64()
    return trimesh.Trimesh(np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts), process=False)


def union(parts: Iterable[trimesh.Trimesh]) -> Solid:
    """Return the union of closed meshes, by manifold3d."""
    return manifold3d.Manifold.batch_boolean([solid_of(part) for part in parts], manifold3d.OpType.Add)


def signed_volume(vertices: Floats, facets: Ints) -> float:
    """Return the volume of the tetrahedra between the facets and the origin, signed by their orientation."""
    a, b, c = (vertices[facets[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
