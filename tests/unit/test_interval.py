"""The price interval: nested, finite, ordered, exact at the end, for every process, material and quantity."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.analysis.model import Analysis, BestOrientation, Finishing, OrientationScore
from pricing_engine.analysis.model import Orientation as Poses
from pricing_engine.analysis.orientation import OVERHANG_COSINE
from pricing_engine.analysis.partial import PRICED, Partial, partial_of
from pricing_engine.analysis.settings import Settings
from pricing_engine.analysis.spread import OnThreads
from pricing_engine.analysis.stages import Stopwatch, run_stages
from pricing_engine.kernels.first_look import first_look
from pricing_engine.kernels.mass import mass_properties
from pricing_engine.mesh.model import Floats, Ints, Mesh
from pricing_engine.mesh.samples import SAMPLES, box, lathe, sphere
from pricing_engine.mesh.weld import weld
from pricing_engine.pricing.book import PROCESSES, load_price_book
from pricing_engine.pricing.interval import Interval, Key, price_interval, price_intervals
from pricing_engine.pricing.quote import Request, quote
from pricing_engine.processes.errors import BadQuantity, PricingError, UnknownMaterial, UnknownProcess
from pricing_engine.processes.part import Extras
from tests.naive.analyses import make_analysis

BOOK = load_price_book()
SETTINGS = Settings()
STAGES = ("integrity", "geometry", "thickness", "orientation", "slices", "finishing")
UP = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)

shares = st.floats(0.0, 1.0)
sides = st.floats(0.5, 400.0)
lengths = st.tuples(sides, sides, sides)
directions = st.sampled_from([(0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.6, 0.0, 0.8), (0.36, 0.48, -0.8)])


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    """Any measures that could be one part's."""
    x, y, z = draw(lengths)
    analysis = make_analysis(
        volume=x * y * z * draw(st.floats(0.001, 1.0)),
        area=draw(st.floats(0.1, 3.0)) * (x * y + y * z + z * x),
        box=(x, y, z),
        trapped=draw(st.sampled_from([None, 0.0, 0.2 * x * y * z])),
    )
    support, extent = x * y * z * draw(shares), draw(st.floats(0.3, 1.2)) * max(x, y, z)
    reach = {"1.5": draw(shares), "3.0": draw(shares | st.none())}
    return replace(
        analysis,
        orientation=Poses(
            512,
            OrientationScore(x * y * z * draw(shares), 1.0, z),
            BestOrientation(draw(directions), support, 1.0, extent),
        ),
        finishing=Finishing(reach),
    )


@st.composite
def beginnings(draw: st.DrawFn, analysis: Analysis) -> Partial:
    """What could be known of ``analysis`` after loading, right or wrong."""
    geometry = analysis.geometry
    assert geometry.volume_mm3 is not None and geometry.surface_area_mm2 is not None
    assert geometry.bbox_min_mm is not None and geometry.bbox_max_mm is not None
    return Partial(
        facets=draw(st.integers(4, 10**6)),
        signed_volume_mm3=geometry.volume_mm3 * draw(st.sampled_from([1.0, 1.0, 1.7, -1.0, 0.0])),
        area_mm2=geometry.surface_area_mm2 * draw(st.floats(1.0, 1.5)),
        open_area_mm2=geometry.surface_area_mm2 * draw(st.sampled_from([0.0, 1e-16, 0.01, 0.5])),
        clear_down=draw(st.sampled_from([None, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])),
        bbox_min_mm=geometry.bbox_min_mm,
        bbox_max_mm=geometry.bbox_max_mm,
        reach=dict.fromkeys(analysis.finishing.reach_area_fraction),
    )


def end(partial: Partial, stage: str, analysis: Analysis, clean: bool = False) -> Partial:
    """``partial`` after a stage whose results are those of ``analysis``."""
    best, geometry = analysis.orientation.best, analysis.geometry
    found: dict[str, dict[str, object]] = {
        "integrity": {"clean": clean},
        "geometry": {
            "volume_mm3": geometry.volume_mm3,
            "surface_area_mm2": geometry.surface_area_mm2,
            "hull_volume_mm3": geometry.hull_volume_mm3,
        },
        "orientation": {
            "best_down": best.down,
            "best_height_mm": best.height_mm,
            "best_support_mm3": best.support_volume_mm3,
            "given_support_mm3": analysis.orientation.as_given.support_volume_mm3,
        },
        "slices": {"trapped_mm3": analysis.slices.trapped_volume_mm3},
        "finishing": {"reach": analysis.finishing.reach_area_fraction},
    }
    return replace(partial, ended=partial.ended | {stage}, **found.get(stage, {}))  # type: ignore[arg-type]


def complete(analysis: Analysis, begun: Partial) -> Partial:
    for stage in PRICED:
        begun = end(begun, stage, analysis)
    return begun


def totals(analysis: Analysis, request: Request) -> dict[Key, Decimal]:
    return {(option.material, option.quantity): option.total for option in quote(analysis, BOOK, request).options}


def weld_shells(*shells: tuple[Floats, Ints]) -> Mesh:
    return weld(np.concatenate([vertices[facets] for vertices, facets in shells]), 1)


def stages_of(mesh: Mesh) -> Iterator[Partial]:
    """What is known of a real mesh after each stage."""
    partial = partial_of(mesh, mass_properties(mesh, 1), SETTINGS, 1)
    yield partial
    found = run_stages(mesh, SETTINGS, OnThreads(1), Stopwatch())
    for partial in (
        partial := partial.after_integrity(found.sound),
        partial := partial.after_geometry(found.solid),
        partial := partial.after_thickness(),
        partial := partial.after_orientation(found.poses),
        partial := partial.after_slices(found.layers),
        partial.after_finishing(found.reach),
    ):
        yield partial
