"""The result of every format's reader, before units and welding, and the limits and notes readers share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel

UNIT_MM = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4, "ft": 304.8}
"""Millimetres in each unit that a file may state."""

MAX_COORDINATE_MM = 1e9
"""Largest absolute coordinate."""

MAX_FACETS = 1 << 26
"""Most facets of one model, a bound on memory (ten times the largest known jewellery export)."""

MAX_INSTANCED_FACETS = 1 << 24
"""Most facets of a file that repeats its parts, where that is more than it stores."""

MAX_REPEAT_RATIO, REPEAT_ALLOWANCE = 16, 1 << 21
"""Largest ratio of placed to stored facets; it applies above the second number of placed facets.

So a kilobyte of nested components is a model of at most 2 M facets, not of 16 M.
"""


INFO_NOTES = {
    "animation_left_out",
    "breaks_3mf",
    "coarse_tessellation",
    "faces_without_area",
    "free_form_curves",
    "lower_detail_left_out",
    "missing_endsolid",
    "negative_parts_subtracted",
    "nodes_outside_the_scene",
    "not_model_objects",
    "not_printable",
    "not_triangles",
    "plates",
    "slicer_parts_left_out",
    "suffix_disagrees",
    "trailing_bytes",
    "unit_in_file",
}
"""Codes of notes that need no review."""

WARNING_NOTES = {
    "alternative_not_read",
    "concave_fan",
    "data_left_out",
    "extension_not_read",
    "facet_count",
    "free_form_surfaces",
    "hidden_nodes",
    "open_surface_left_out",
    "other_objects_left_out",
    "other_scenes",
    "slicer_changes_shape",
    "slices_not_read",
    "unknown_extension",
    "unknown_lines",
    "unknown_slicer_parts",
}
"""Codes of notes about a possibly changed shape, which lead to a manual review."""

READER_NOTES = INFO_NOTES | WARNING_NOTES
"""Codes of all notes, to distinguish them from findings about the model."""


@dataclass(frozen=True, slots=True)
class ReaderNote:
    """A remark about the file that does not stop the analysis; its code decides about a manual review."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RawMesh:
    """``vertices`` (V, 3) float64 in ``unit``; ``facets`` (F, 3) integer, every index within the vertices.

    ``unit`` is None where the format has none. ``stated_unit`` is the file's own unit where the reader converted it.
    """

    vertices: NDArray[np.float64]
    facets: NDArray[np.integer]
    unit: str | None = None
    notes: tuple[ReaderNote, ...] = ()
    stated_unit: str | None = None


def check_indices(indices: NDArray[np.integer], vertex_count: int, element: str = "facet") -> None:
    """Raise :class:`CorruptModel` unless every index is within ``[0, vertex_count)``."""
    if len(indices) == 0:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= vertex_count:
        raise CorruptModel(
            f"a {element} refers to vertex {low if low < 0 else high} (from 0), but the file has {vertex_count} "
            "vertices; export the model again"
        )


def has_distinct_corners(facets: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return for each facet (F,) whether its three corners are different vertices."""
    a, b, c = facets.T
    distinct: NDArray[np.bool_] = (a != b) & (b != c) & (c != a)
    return distinct


def line_of(data: bytes, position: int) -> int:
    """Return the line number (from 1) of byte ``position``."""
    return data.count(b"\n", 0, max(0, position)) + 1


def excerpt(data: bytes, position: int, length: int = 24) -> str:
    """Return the token at ``position``, printable and short, for an error message."""
    token = data[position : position + length].split(maxsplit=1)
    return ascii(token[0].decode("latin-1")) if token else "the end of the file"
