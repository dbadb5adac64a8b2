"""The fastest known peers, one per item; run by the Python of their own venv."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks.timing import run

LAYERS = 500


def meshlib_load(path: str) -> Callable[[], Any]:
    """Load, weld and topology: meshlib builds its half-edge topology while loading."""
    import meshlib.mrmeshpy as mm

    def operation() -> Any:
        mesh = mm.loadMesh(path)
        return mesh.topology.numValidVerts(), mesh.topology.isClosed()

    return operation


def _manifold(path: str) -> Any:
    import manifold3d
    import numpy as np
    import trimesh

    mesh = trimesh.load_mesh(path)
    return manifold3d.Manifold(
        manifold3d.Mesh(
            vert_properties=np.asarray(mesh.vertices, np.float32), tri_verts=np.asarray(mesh.faces, np.uint32)
        )
    )


def manifold_mass(path: str) -> Callable[[], Any]:
    """Volume and area (manifold3d has no centre and no inertia)."""
    solid = _manifold(path)
    return lambda: (solid.volume(), solid.surface_area())


def embree_ray(path: str) -> Callable[[], Any]:
    """Inward rays from every facet by Embree in open3d, including the build of its BVH."""
    import numpy as np
    import open3d as o3d
    import trimesh

    mesh = trimesh.load_mesh(path)
    vertices, facets = mesh.vertices.astype("float32"), mesh.faces.astype("uint32")

    def operation() -> Any:
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(facets))
        step = 1e-4 * mesh.scale / 60
        rays = np.hstack([mesh.triangles_center - mesh.face_normals * step, -mesh.face_normals]).astype(np.float32)
        hits = scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy() + step
        return [float(x) for x in np.percentile(hits[np.isfinite(hits)], [5, 50])]

    return operation


def meshlib_sphere(path: str) -> Callable[[], Any]:
    """Largest inscribed spheres at every vertex (meshlib has none at facets)."""
    import meshlib.mrmeshpy as mm

    mesh = mm.loadMesh(path)
    settings = mm.InSphereSearchSettings()
    settings.maxRadius = mesh.getBoundingBox().diagonal()

    def operation() -> Any:
        mesh.invalidateCaches()
        return mm.computeInSphereThicknessAtVertices(mesh, settings).size()

    return operation


def manifold_slices(path: str) -> Callable[[], Any]:
    """Area and perimeter of 500 layers, without manifold3d's constructor."""
    import numpy as np

    solid = _manifold(path)
    box = solid.bounding_box()
    height = (box[5] - box[2]) / LAYERS

    def operation() -> Any:
        area = perimeter = 0.0
        for layer in range(LAYERS):
            section = solid.slice(float(box[2] + (layer + 0.5) * height))
            area += section.area()
            for contour in section.to_polygons():
                perimeter += float(np.linalg.norm(contour - np.roll(contour, 1, 0), axis=1).sum())
        return area, perimeter

    return operation


def meshlib_self_intersections(path: str) -> Callable[[], Any]:
    """Facets that collide with others."""
    import meshlib.mrmeshpy as mm

    mesh = mm.loadMesh(path)

    def operation() -> Any:
        mesh.invalidateCaches()
        return mm.findSelfCollidingTrianglesBS(mm.MeshPart(mesh)).count()

    return operation


def tweaker_orientation(path: str) -> Callable[[], Any]:
    """Run the extended search of Tweaker-3's own source, in the folder ``TWEAKER``; the mesh is in memory."""
    sys.path.insert(0, os.environ["TWEAKER"])
    import FileHandler
    import MeshTweaker

    corners = next(iter(FileHandler.FileHandler().load_mesh(path).values()))["mesh"]

    def operation() -> Any:
        found = MeshTweaker.Tweak(corners, extended_mode=True, verbose=False, min_volume=True)
        return [float(x) for x in found.alignment]

    return operation


ITEMS = {
    "load": meshlib_load,
    "mass": manifold_mass,
    "ray": embree_ray,
    "sphere": meshlib_sphere,
    "slices": manifold_slices,
    "self_intersections": meshlib_self_intersections,
    "orientation": tweaker_orientation,
}

if __name__ == "__main__":
    run(ITEMS)
