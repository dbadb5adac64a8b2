"""Inputs of the kernels of supports: a mesh's sampled surface, directions, and volumes by direction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing_engine.analysis.directions import frames
from pricing_engine.analysis.support_surface import Surface, sampled_boundary
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.orientation.overhangs import OVERHANG_COSINE
from pricing_engine.kernels.orientation.support_samples import SupportSurface
from pricing_engine.kernels.orientation.support_volume import Bands, support_volumes
from pricing_engine.kernels.runtime.search_counters import work_array
from pricing_engine.kernels.runtime.threads import run_ranges
from pricing_engine.kernels.solid.boundary import Boundary
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.support.kernel_inputs import Floats

COSINE = np.float32(OVERHANG_COSINE)
PLENTY = 1 << 40


class Case(NamedTuple):
    """A mesh's sampled surface, its arrays for the kernels, and the mesh's size."""

    surface: Surface
    arrays: SupportSurface
    size: float


def case_of(mesh: Mesh) -> Case:
    """Return the case of a mesh that is all boundary."""
    low, high = mesh.box()
    size = float((high - low).max())
    surface = sampled_boundary(mesh, build_bvh(mesh, 1), Boundary.everything(mesh.facet_count), size, 1)
    arrays = SupportSurface(
        surface.corners, surface.blocks, surface.normals, surface.samples, surface.owner, surface.sample_blocks,
        surface.sample_normals, surface.sample_groups,
    )  # fmt: skip
    return Case(surface, arrays, size)


def unit(random: np.random.Generator, count: int) -> Floats:
    """Return ``count`` unit vectors (count, 3), among them axes."""
    vectors = np.concatenate([np.eye(3), -np.eye(3), random.normal(size=(6, 3))])[random.permutation(12)[:count]]
    directions: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return directions


def views(case: Case, directions: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Frames, platforms and resting heights."""
    corners = case.surface.corners[:, : case.surface.owner.max() + 1].T.reshape(-1, 3)
    platform = -(corners @ directions.T).max(axis=0)
    rest = platform + 0.01 * case.size
    return frames(directions).astype(np.float32), platform.astype(np.float32), rest.astype(np.float32)


def measure(
    case: Case, directions: Floats, near: float = 0.0, far: float = np.inf, budget: int = PLENTY, threads: int = 1
) -> Floats:
    """Return the support volume of each direction, between two distances from the platform."""
    count = len(directions)
    around, platform, rest = views(case, directions)
    band = (np.full(count, x, np.float32) for x in (near, far))
    volumes, work = np.full(count, np.nan), work_array(count, 1)
    run_ranges(
        support_volumes, count, 1, threads, Bands(around, platform, rest, *band), case.arrays, COSINE,
        np.float32(case.size * 1e-7), unit_of(case), budget, volumes, work,
    )  # fmt: skip
    return volumes


def unit_of(case: Case) -> float:
    """Return the power of two in whose multiples volumes are summed."""
    most = 2 * case.size * float(case.surface.samples[6].sum(dtype=np.float64))
    return float(2.0 ** (np.ceil(np.log2(max(most, 1e-30))) - 52))
