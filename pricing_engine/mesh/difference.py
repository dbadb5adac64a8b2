"""Subtract negative volumes from parts: a boolean difference by manifold3d.

Each closed shell of a negative volume is a solid; their union is subtracted from each part, whose own shells may
overlap or be cavities. The native code runs in its own process with time and memory limits.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.intersection.pair_search import find_pairs
from pricing_engine.kernels.intersection.self_intersection import self_intersections
from pricing_engine.kernels.mesh import Floats, Mesh
from pricing_engine.kernels.solid.mass import body_measures
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.mesh import difference_process
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.instances import PartMesh
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.isolated import run_isolated
from pricing_engine.mesh.repair import repair
from pricing_engine.mesh.weld import canonical_indexed

_MAX_PARTS, _MAX_SHELLS = 1000, 1000
_ADVICE = "subtract it in the CAD program and export the result"


def subtract(parts: Sequence[PartMesh], negatives: Sequence[PartMesh]) -> list[PartMesh]:
    """Return ``parts`` without the space that ``negatives`` enclose, all in one coordinate system.

    Raises :class:`CorruptModel` where a mesh is not closed, a negative volume intersects itself, or the difference
    takes too long.
    """
    if len(parts) + len(negatives) > _MAX_PARTS:
        raise CorruptModel(f"an object with negative volumes has more than {_MAX_PARTS} parts; {_ADVICE}")
    part_bounds, negative_bounds = [_bounds(part) for part in parts], [_bounds(negative) for negative in negatives]
    affected = [
        i for i, bounds in enumerate(part_bounds) if any(_overlap(bounds, negative) for negative in negative_bounds)
    ]
    if not affected:
        return list(parts)
    arrays: dict[str, NDArray[np.generic] | int] = {"parts": len(affected)}
    for i, index in enumerate(affected):
        mesh, _ = _closed_mesh(parts[index], "a part that has a negative volume")
        arrays[f"part_vertices_{i}"], arrays[f"part_facets_{i}"] = mesh.vertices, mesh.facets
    adds: list[bool] = []
    for negative, bounds in zip(negatives, negative_bounds, strict=True):
        for shell, positive in (
            _negative_shells(negative) if any(_overlap(bounds, part_bounds[i]) for i in affected) else ()
        ):
            arrays[f"shell_vertices_{len(adds)}"], arrays[f"shell_facets_{len(adds)}"] = shell.vertices, shell.facets
            adds.append(positive)
    arrays["shells"], arrays["adds"] = len(adds), np.array(adds)
    results = dict(zip(affected, _run(arrays, len(affected)), strict=True))
    return [results.get(i, part) for i, part in enumerate(parts)]


def _run(arrays: dict[str, NDArray[np.generic] | int], count: int) -> list[PartMesh]:
    with tempfile.TemporaryDirectory(prefix="facet-difference-") as folder:
        source, target = Path(folder, "source.npz"), Path(folder, "target.npz")
        np.savez(source, **arrays)  # type: ignore[arg-type]
        try:
            status = run_isolated(difference_process.__file__, source, target, timeout_s=difference_process.SECONDS)
        except subprocess.TimeoutExpired as error:
            raise CorruptModel(
                f"subtracting a negative volume takes over {difference_process.SECONDS} s; {_ADVICE}"
            ) from error
        if status == difference_process.NOT_MANIFOLD:
            raise CorruptModel(f"a negative volume cannot be subtracted because shells share edges; {_ADVICE}")
        if status != 0 or not target.exists():
            raise CorruptModel(f"a negative volume cannot be subtracted; {_ADVICE}")
        with np.load(target) as results:
            return [PartMesh(results[f"vertices_{i}"], results[f"facets_{i}"].astype(np.int64)) for i in range(count)]


def _bounds(part: PartMesh) -> tuple[Floats, Floats]:
    used = part.vertices[part.facets.reshape(-1)]
    return used.min(axis=0), used.max(axis=0)


def _overlap(first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> bool:
    return bool((first[0] <= second[1]).all() and (second[0] <= first[1]).all())


def _negative_shells(negative: PartMesh) -> list[tuple[Mesh, bool]]:
    """Return the closed shells of one negative volume facing outwards, largest first, and whether each adds to it."""
    mesh, topology = _closed_mesh(negative, "a negative volume")
    if topology.bodies > _MAX_SHELLS:
        raise CorruptModel(f"a negative volume has {topology.bodies} shells, too many to subtract; {_ADVICE}")
    volumes, _ = body_measures(mesh, topology.facet_body, topology.bodies, 1)
    by_body = np.argsort(topology.facet_body, kind="stable")
    shell_start = np.searchsorted(topology.facet_body[by_body], np.arange(topology.bodies + 1))
    shells = []
    for body in np.argsort(-np.abs(volumes), kind="stable"):  # enclosing shells before enclosed ones
        vertices_used, facets = np.unique(
            mesh.facets[by_body[shell_start[body] : shell_start[body + 1]]], return_inverse=True
        )
        positive = bool(volumes[body] > 0)
        outward = facets.reshape(-1, 3)[:, :: 1 if positive else -1]
        shell = Mesh(mesh.vertices[vertices_used], np.ascontiguousarray(outward, np.int32))
        bvh = build_bvh(shell, 1)
        crossing = self_intersections(shell, bvh, find_pairs(shell, bvh, 1), 1)
        if crossing is None or crossing.any():
            raise CorruptModel(f"a negative volume intersects itself; {_ADVICE}")
        shells.append((shell, positive))
    return shells


def _closed_mesh(part: PartMesh, description: str) -> tuple[Mesh, Topology]:
    """Return the part as a closed mesh facing outwards: by the file's own indices, else welded."""
    vertices_used, facets = np.unique(part.facets, return_inverse=True)
    indexed = Mesh(np.ascontiguousarray(part.vertices[vertices_used]), facets.reshape(-1, 3).astype(np.int32))
    for mesh in (indexed, canonical_indexed(part.vertices, part.facets, 1)):
        topology = measure_topology(mesh, 1)
        if topology.boundary_edges == 0 and topology.watertight:
            repaired, repairs = repair(mesh, topology, 1)
            repaired_topology = measure_topology(repaired, 1) if repairs else topology
            if repaired_topology.watertight and repaired_topology.winding_consistent:
                return repaired, repaired_topology
    raise CorruptModel(f"{description} is not closed, so nothing can be subtracted exactly; {_ADVICE}")
