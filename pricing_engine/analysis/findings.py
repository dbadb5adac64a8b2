"""Results of the stages, before they are assembled into an Analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pricing_engine.analysis.bodies import ONE_BODY, Bodies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pricing_engine.analysis.hull import Hull
    from pricing_engine.analysis.orientation import OrientationResult
    from pricing_engine.analysis.slices import SlicesResult
    from pricing_engine.analysis.thickness import ThicknessResult
    from pricing_engine.kernels.mesh import Floats, Mesh
    from pricing_engine.kernels.solid.boundary import Boundary
    from pricing_engine.kernels.solid.mass import MassProperties
    from pricing_engine.mesh.integrity import Topology
    from pricing_engine.mesh.places import Places
    from pricing_engine.mesh.repair import RepairStep


@dataclass(frozen=True, slots=True)
class RepairedMesh:
    """The mesh as read, ``raw``, and after repair, ``mesh``.

    ``topology`` and ``crossing`` (F,) bool, the self-intersecting facets, describe the raw mesh; ``crossing`` is None
    where it exceeded its budget. ``sealed``: every edge of the repaired mesh has as many facets in each direction, so
    winding numbers are integers. ``odd_edges``: edges of it with an odd number of facets, counted if it is not sealed.
    ``bodies`` describes the repaired mesh. ``places``: locations of the raw mesh's defects by check code.
    """

    raw: Mesh
    topology: Topology
    crossing: NDArray[np.bool_] | None
    mesh: Mesh
    repairs: tuple[RepairStep, ...]
    sealed: bool
    odd_edges: int = 0
    bodies: Bodies = ONE_BODY
    places: Mapping[str, Places] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Solid:
    """The solid that the surface encloses.

    ``boundary``, ``volume`` (mm3), ``centre`` of mass and surface ``area`` (mm2) are None for a tangle. ``mass``
    describes the raw mesh; ``hull`` is None where all vertices are coplanar. ``if_solid``, ``if_cavity``: the volume
    (mm3) if shells nested in others of the same orientation are solid or cavities; None where there are none.
    """

    mass: MassProperties
    boundary: Boundary | None
    volume: float | None
    centre: Floats | None
    area: float | None
    hull: Hull | None
    if_solid: float | None = None
    if_cavity: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """Results of all stages; None for what could not be measured."""

    repaired: RepairedMesh
    solid: Solid
    walls: ThicknessResult
    poses: OrientationResult | None
    layers: SlicesResult | None
    reach: dict[str, float | None]
