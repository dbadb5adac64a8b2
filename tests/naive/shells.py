"""Naive shells by exact booleans: which of them are reversed, and the volume that they bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from manifold3d import Manifold
from numpy.typing import NDArray

from tests.support.meshes import Solid

T = TypeVar("T", Solid, NDArray[np.bool_])
SAME = 1e-11  # relative


def sides_meant(solids: Sequence[T], sides: Sequence[int], volume_of: Callable[[T], float]) -> tuple[list[int], bool]:
    """Return the side out of each shell as it is meant, and whether a shell lies in another with the same side out.

    ``solids`` have an intersection, written ``^`` or ``&``; ``sides``: 1 or -1 as given. A reversed shell is turned
    unless it lies in another and crosses none; one with the opposite side out turns with its holder.
    """
    volume = [volume_of(solid) for solid in solids]
    order = sorted(range(len(solids)), key=lambda i: -volume[i])
    meant, alike = list(sides), False
    for i in order:
        smaller = {j: min(volume[i], volume[j]) for j in range(len(solids)) if j != i}
        common = {j: volume_of(_intersection(solids[i], solids[j])) for j in smaller}
        crosses = any(SAME * least < common[j] < (1 - SAME) * least for j, least in smaller.items())
        holders = [j for j, v in common.items() if volume[j] > volume[i] and v > (1 - SAME) * volume[i]]
        if crosses or not holders:
            meant[i] = 1
            continue
        holder = min(holders, key=lambda j: (round(volume[j], 9), -sides[j]))
        if meant[holder] != sides[holder] and sides[i] != sides[holder]:
            meant[i] = -sides[i]
        alike |= meant[i] == meant[holder]
    return meant, alike


def _intersection(one: T, other: T) -> T:
    return one & other if isinstance(one, np.ndarray) else one ^ other


def volume_meant(solids: Sequence[Solid], sides: Sequence[int]) -> float:
    """Return the volume where the winding number is at least 1."""
    low = min(np.min(solid.bounding_box()[:3]) for solid in solids)
    high = max(np.max(solid.bounding_box()[3:]) for solid in solids)
    everything = Manifold.cube((2 * (high - low),) * 3, True).translate((high + low) / 2 * np.ones(3))
    most = len(solids) + 1
    at_least = {k: everything if k <= 0 else Manifold() for k in range(-most, most + 1)}
    for solid, side in zip(solids, sides, strict=True):
        inner = {k: at_least[min(max(k - side, -most), most)] ^ solid for k in at_least}
        at_least = {k: (region - solid) + inner[k] for k, region in at_least.items()}
    return float(at_least[1].volume())
