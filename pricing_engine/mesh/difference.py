"""Take negative volumes away from a part: a true boolean difference, by manifold3d.

Every closed shell of the negative volumes is one solid, and their union is taken from each part, whose own shells may
overlap or be cavities. Native code on untrusted meshes runs in a process of its own with a time and a memory limit.
"""

from __future__ import annotations

import subprocess
import sys
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
from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.instances import PartMesh
from pricing_engine.mesh.integrity import Topology, measure_topology
from pricing_engine.mesh.repair import repair
from pricing_engine.mesh.weld import canonical_indexed

_SECONDS = 60
_BYTES = 8 << 30
_MOST_PARTS, _MOST_SHELLS = 1000, 1000
_PROGRAM = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({_BYTES}, {_BYTES}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, ({2 * _SECONDS}, {2 * _SECONDS}))
import numpy as np
from manifold3d import Error, Manifold, Mesh64

def solid(vertices, facets):
    made = Manifold(Mesh64(np.ascontiguousarray(vertices), np.ascontiguousarray(facets, np.uint64)))
    if made.status() != Error.NoError:
        sys.exit(3)
    return made

given = np.load(sys.argv[1])
taken = Manifold()
for i in range(int(given["shells"])):
    shell = solid(given[f"shell_vertices_{{i}}"], given[f"shell_facets_{{i}}"])
    taken = taken + shell if given["adds"][i] else taken - shell
left = {{}}
for i in range(int(given["parts"])):
    mesh = (solid(given[f"part_vertices_{{i}}"], given[f"part_facets_{{i}}"]) - taken).to_mesh64()
    left[f"vertices_{{i}}"] = np.asarray(mesh.vert_properties)[:, :3]
    left[f"facets_{{i}}"] = np.asarray(mesh.tri_verts)
np.savez(sys.argv[2], **left)
"""
_MEND = "take it away in the CAD program and export the result"


def subtract(parts: Sequence[PartMesh], negatives: Sequence[PartMesh]) -> list[PartMesh]:
    """Each of ``parts`` without the space that ``negatives`` enclose; all of them in one coordinate system.

    Raises :class:`CorruptModel` where a mesh is not closed, where a negative volume runs through itself, and where the
    difference takes too long.
    """
    if len(parts) + len(negatives) > _MOST_PARTS:
        raise CorruptModel(f"an object with negative volumes has over {_MOST_PARTS} parts, too many to read; {_MEND}")
    boxes, holes = [_box(part) for part in parts], [_box(negative) for negative in negatives]
    touched = [i for i, box in enumerate(boxes) if any(_meet(box, hole) for hole in holes)]
    if not touched:
        return list(parts)
    given: dict[str, NDArray[np.generic] | int] = {"parts": len(touched)}
    for i, which in enumerate(touched):
        mesh, _ = _closed(parts[which], "a part that has a negative volume")
        given[f"part_vertices_{i}"], given[f"part_facets_{i}"] = mesh.vertices, mesh.facets
    adds: list[bool] = []
    for negative, hole in zip(negatives, holes, strict=True):
        for shell, positive in _shells(negative) if any(_meet(hole, boxes[i]) for i in touched) else ():
            given[f"shell_vertices_{len(adds)}"], given[f"shell_facets_{len(adds)}"] = shell.vertices, shell.facets
            adds.append(positive)
    given["shells"], given["adds"] = len(adds), np.array(adds)
    left = dict(zip(touched, _run(given, len(touched)), strict=True))
    return [left.get(i, part) for i, part in enumerate(parts)]


def _run(given: dict[str, NDArray[np.generic] | int], count: int) -> list[PartMesh]:
    with tempfile.TemporaryDirectory(prefix="facet-difference-") as folder:
        source, target = Path(folder, "given.npz"), Path(folder, "left.npz")
        np.savez(source, **given)  # type: ignore[arg-type]
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", _PROGRAM, str(source), str(target)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CorruptModel(f"to take away its negative volume takes over {_SECONDS} s; {_MEND}") from error
        if done.returncode == 3:
            raise CorruptModel(f"its negative volume can't be taken away, since shells share edges; {_MEND}")
        if done.returncode != 0 or not target.exists():
            raise CorruptModel(f"its negative volume can't be taken away; {_MEND}")
        with np.load(target) as left:
            return [PartMesh(left[f"vertices_{i}"], left[f"facets_{i}"].astype(np.int64)) for i in range(count)]


def _box(part: PartMesh) -> tuple[Floats, Floats]:
    used = part.vertices[part.facets.reshape(-1)]
    return used.min(axis=0), used.max(axis=0)


def _meet(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> bool:
    return bool((one[0] <= other[1]).all() and (other[0] <= one[1]).all())


def _shells(negative: PartMesh) -> list[tuple[Mesh, bool]]:
    """Closed shells of one negative volume, facing outwards, the largest first, and whether each adds to it or is a
    cavity in it."""
    mesh, topology = _closed(negative, "a negative volume")
    if topology.bodies > _MOST_SHELLS:
        raise CorruptModel(f"a negative volume has {topology.bodies} shells, too many to take away; {_MEND}")
    volumes, _ = body_measures(mesh, topology.facet_body, topology.bodies, 1)
    by_body = np.argsort(topology.facet_body, kind="stable")
    ends = np.searchsorted(topology.facet_body[by_body], np.arange(topology.bodies + 1))
    shells = []
    for body in np.argsort(-np.abs(volumes), kind="stable"):  # what encloses comes before what it encloses
        names, facets = np.unique(mesh.facets[by_body[ends[body] : ends[body + 1]]], return_inverse=True)
        positive = bool(volumes[body] > 0)
        outward = facets.reshape(-1, 3)[:, :: 1 if positive else -1]
        shell = Mesh(mesh.vertices[names], np.ascontiguousarray(outward, np.int32))
        bvh = build_bvh(shell, 1)
        crossing = self_intersections(shell, bvh, find_pairs(shell, bvh, 1), 1)
        if crossing is None or crossing.any():
            raise CorruptModel(f"a negative volume runs through itself; {_MEND}")
        shells.append((shell, positive))
    return shells


def _closed(part: PartMesh, what: str) -> tuple[Mesh, Topology]:
    """The part as a mesh that is closed and faces outwards: by the file's own indices, or welded where it is not."""
    names, facets = np.unique(part.facets, return_inverse=True)
    indexed = Mesh(np.ascontiguousarray(part.vertices[names]), facets.reshape(-1, 3).astype(np.int32))
    for mesh in (indexed, canonical_indexed(part.vertices, part.facets, 1)):
        topology = measure_topology(mesh, 1)
        if topology.boundary_edges == 0 and topology.watertight:
            mended, repairs = repair(mesh, topology, 1)
            mended_topology = measure_topology(mended, 1) if repairs else topology
            if mended_topology.watertight and mended_topology.winding_consistent:
                return mended, mended_topology
    raise CorruptModel(f"{what} is not closed, so nothing can be taken away truly; {_MEND}")
