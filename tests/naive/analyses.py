"""Synthetic Analyses and requests for pricing tests: by default a closed, thick-walled part."""

from __future__ import annotations

from pricing_engine.analysis.schema import (
    Analysis,
    BestOrientation,
    Check,
    Finishing,
    Geometry,
    Integrity,
    Model,
    Orientation,
    OrientationScore,
    Slices,
    Thickness,
    ThicknessSummary,
)
from pricing_engine.pricing.book import PriceBook
from pricing_engine.pricing.quote import NO_EXTRAS, Quote, Request
from pricing_engine.pricing.quote import quote as price
from pricing_engine.processes.part import Extras


def quote(
    analysis: Analysis,
    book: PriceBook,
    process: str = "casting",
    materials: list[str] | None = None,
    finish: str | None = None,
    quantities: tuple[int, ...] | list[int] = (1,),
    extras: Extras = NO_EXTRAS,
) -> Quote:
    """Price with a request given as arguments."""
    return price(analysis, book, Request(process, materials, finish, quantities, extras))


def make_analysis(
    volume: float | None = 537.29,
    area: float | None = 900.0,
    box: tuple[float, float, float] = (20.0, 22.0, 6.0),
    p50: float | None = 2.0,
    thin: float | None = 0.01,
    open_edges: int = 0,
    non_manifold: int = 0,
    intersections: int = 0,
    consistent: bool = True,
    trapped: float | None = 0.0,
    support: float = 20.0,
    checks: tuple[Check, ...] = (),
) -> Analysis:
    return Analysis(
        engine_version="0.1.0",
        analysis_id="sha256:0",
        model=Model("0", "stl", "mm", 1000, 500, 50084),
        integrity=Integrity(
            not open_edges and not non_manifold, consistent, 1, 2, open_edges, non_manifold, 0, 0, intersections, False
        ),
        geometry=Geometry(volume, volume, area, (0.0, 0.0, 0.0), box, volume, (1.0, 1.0, 1.0), area),
        thickness=Thickness(
            ThicknessSummary(p50, p50, p50), ThicknessSummary(p50, p50, p50), {"0.5": 0.0, "0.8": thin, "1.0": thin}
        ),
        orientation=Orientation(
            500,
            OrientationScore(support, 10.0, box[2]),
            BestOrientation((0.0, 0.0, -1.0), support, 10.0, box[2]),
        ),
        slices=Slices(0.05, 120, 1.0, 1.0, 1.0, 0, trapped),
        finishing=Finishing({"1.5": 0.9, "3.0": 0.7}),
        checks=checks,
        elapsed_s={"total": 0.1},
    )
