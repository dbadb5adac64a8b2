"""Deform and repeat glTF meshes: morph targets (glTF 2.0, 3.7.2.2), skins (3.7.3), EXT_mesh_gpu_instancing.

Sums run element by element in a fixed order, not as matrix products: equal vertices must stay bitwise equal.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.instances import PartMesh

_BLOCK = 1 << 15


def rotation_matrices(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rotation matrices (N, 3, 3) of quaternions x y z w (N, 4); normalizes them first."""
    with np.errstate(all="ignore"):
        x, y, z, w = (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).T
    rows = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]  # fmt: skip
    return np.moveaxis(np.array(rows), 2, 0)


def morph(vertices: NDArray[np.float64], targets: Iterable[tuple[float, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return ``vertices`` plus weight times displacement (V, 3) of each target."""
    moved = vertices.copy()
    for weight, displacement in targets:
        if displacement.shape != vertices.shape:
            raise CorruptModel(
                "a morph target of the GLB has another number of vertices than its mesh; export the model again"
            )
        moved += weight * displacement
    return moved


def instantiate(
    part: PartMesh, translation: NDArray[np.float64], rotation: NDArray[np.float64], scale: NDArray[np.float64]
) -> PartMesh:
    """Return one part of ``len(translation)`` copies, each scaled, rotated and moved; mirrored copies are reversed."""
    matrices = rotation_matrices(rotation) * scale[:, None, :]
    count, vertex_count = len(translation), len(part.vertices)
    x, y, z = part.vertices.T
    vertices = np.empty((count, vertex_count, 3))
    with np.errstate(all="ignore"):  # overflow is rejected by the check of coordinates
        for axis in range(3):
            m = matrices[:, axis, :, None]
            vertices[:, :, axis] = m[:, 0] * x + m[:, 1] * y + m[:, 2] * z + translation[:, axis, None]
        mirrored = np.prod(scale, axis=1) < 0
    facets = part.facets + (np.arange(count) * vertex_count)[:, None, None]
    facets[mirrored] = facets[mirrored, :, ::-1]
    return PartMesh(vertices.reshape(-1, 3), facets.reshape(-1, 3))


def skin(
    part: PartMesh, joints: NDArray[np.float64], weights: NDArray[np.float64], matrices: NDArray[np.float64]
) -> PartMesh:
    """Return ``part`` moved by its joints: ``joints`` and ``weights`` (V, K), joint ``matrices`` (J, 4, 4).

    Weights are divided by their sum. A facet with two or more mirrored corners is reversed.
    """
    joint_ids, shares = _influences(part, joints, weights, len(matrices))
    vertices = np.empty_like(part.vertices)
    mirrored = np.empty(len(vertices), bool)
    for lo in range(0, len(vertices), _BLOCK):
        block = slice(lo, lo + _BLOCK)
        with np.errstate(all="ignore"):
            blend = np.zeros((len(vertices[block]), 3, 4))
            for k in range(joint_ids.shape[1]):
                blend += shares[block, k, None, None] * matrices[joint_ids[block, k], :3]
            x, y, z = part.vertices[block].T
            for axis in range(3):
                m = blend[:, axis]
                vertices[block, axis] = m[:, 0] * x + m[:, 1] * y + m[:, 2] * z + m[:, 3]
            mirrored[block] = np.linalg.det(blend[:, :, :3]) < 0
    flipped = mirrored[part.facets].sum(axis=1) >= 2
    facets = np.where(flipped[:, None], part.facets[:, ::-1], part.facets)
    return PartMesh(vertices, facets)


def _influences(
    part: PartMesh, joints: NDArray[np.float64], weights: NDArray[np.float64], joint_count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return joints (V, K) and weight shares (V, K) ordered by joint, so that equal influences sum bitwise equally."""
    if joints.shape != weights.shape or len(joints) != len(part.vertices):
        raise CorruptModel("a skin of the GLB needs as many joints and weights as vertices; export the model again")
    if not bool(np.all((weights >= 0) & np.isfinite(weights))):
        raise CorruptModel("a skin of the GLB has a weight that is not a positive number; export the model again")
    joint_ids = np.where(weights > 0, joints, joint_count).astype(np.int64)
    if bool(np.any((joint_ids > joint_count) | (weights > 0) & (joint_ids == joint_count))):
        raise CorruptModel(f"a skin of the GLB refers to a joint beyond its {joint_count}; export the model again")
    order = np.argsort(joint_ids, axis=1, kind="stable")
    joint_ids, weights = np.take_along_axis(joint_ids, order, 1), np.take_along_axis(weights, order, 1)
    total = np.zeros(len(weights))
    for k in range(weights.shape[1]):
        total += weights[:, k]
    if bool(np.any(total[part.facets] == 0)):
        raise CorruptModel(
            "a skin of the GLB leaves vertices without a joint; bind them all or export the model unskinned"
        )
    with np.errstate(all="ignore"):
        shares = np.where(total[:, None] > 0, weights / total[:, None], 0.0)
    return np.minimum(joint_ids, joint_count - 1), shares
