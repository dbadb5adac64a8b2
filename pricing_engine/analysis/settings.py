"""Settings of a measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings are part of the analysis id: other settings give another analysis."""

    layer_height_mm: float = 0.05
    reach_radii_mm: tuple[float, ...] = (1.5, 3.0)
