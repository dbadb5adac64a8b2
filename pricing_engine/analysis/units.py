"""Detect a doubtful unit from a model's size and suggest a likelier one: one rule for inspect and quote."""

from __future__ import annotations

import math

from pricing_engine.mesh.raw_mesh import UNIT_MM

SMALLEST_MM, LARGEST_MM = 3.0, 500.0
"""A 22 mm ring exported in cm or inches and read as mm (2.2, 0.87) is below the first; machines and jewellery end at
the second."""

_TYPICAL_MM = 30.0
_UNIT_LABELS = {"um": "micrometres", "m": "metres", "in": "inches", "ft": "feet"}


def doubt_unit(longest_mm: float, unit: str) -> tuple[str, float] | None:
    """Return a message with the likely unit, and the limit (mm) that ``longest_mm``, read in ``unit``, violates.

    None if the size is plausible. Likely units put the size between the limits, the nearest to 30 mm first.
    """
    if SMALLEST_MM <= longest_mm <= LARGEST_MM or longest_mm <= 0:
        return None
    number = longest_mm / UNIT_MM.get(unit, 1.0)
    sizes = {name: number * scale for name, scale in UNIT_MM.items() if name != unit}
    likely = [name for name, size in sizes.items() if SMALLEST_MM <= size <= LARGEST_MM]
    likely.sort(key=lambda name: abs(math.log(sizes[name] / _TYPICAL_MM)))
    suggestion = " or ".join(f"{_UNIT_LABELS.get(name, name)} ({sizes[name]:.3g} mm across)" for name in likely[:2])
    text = f"read in {_UNIT_LABELS.get(unit, unit)} the model is {longest_mm:.4g} mm across"
    advice = f"its unit is probably {suggestion}" if suggestion else "check its unit"
    return f"{text}: {advice}", SMALLEST_MM if longest_mm < SMALLEST_MM else LARGEST_MM
