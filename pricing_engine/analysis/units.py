"""Whether a model's unit is doubtful, by its size, and which unit is likelier: one rule for inspect and quote."""

from __future__ import annotations

import math

from pricing_engine.mesh.raw_mesh import UNIT_MM

SMALLEST_MM, LARGEST_MM = 3.0, 500.0
"""A ring of 22 mm read as cm or inches is below the first, one of 1 inch read as mm below both; machines end at the
second, and so does jewellery."""

_USUAL_MM = 30.0
_NAMES = {"um": "micrometres", "m": "metres", "in": "inches", "ft": "feet"}


def doubt_unit(longest_mm: float, unit: str) -> tuple[str, float] | None:
    """A sentence with the likely unit, and the limit (mm) that ``longest_mm``, read in ``unit``, passes; None if fine.

    Likely are the units that put the size between the limits, the nearest to 30 mm first.
    """
    if SMALLEST_MM <= longest_mm <= LARGEST_MM or longest_mm <= 0:
        return None
    number = longest_mm / UNIT_MM.get(unit, 1.0)
    sizes = {name: number * scale for name, scale in UNIT_MM.items() if name != unit}
    likely = [name for name, size in sizes.items() if SMALLEST_MM <= size <= LARGEST_MM]
    likely.sort(key=lambda name: abs(math.log(sizes[name] / _USUAL_MM)))
    named = " or ".join(f"{_NAMES.get(name, name)} ({sizes[name]:.3g} mm across)" for name in likely[:2])
    text = f"read in {_NAMES.get(unit, unit)} the model is {longest_mm:.4g} mm across"
    advice = f"its unit is probably {named}" if named else "check its unit"
    return f"{text}: {advice}", SMALLEST_MM if longest_mm < SMALLEST_MM else LARGEST_MM
