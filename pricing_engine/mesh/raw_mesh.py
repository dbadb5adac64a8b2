"""What every format's reader hands over: vertices and facets as the file has them, before units and welding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.mesh.errors import CorruptModel

UNIT_MM = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4, "ft": 304.8}
"""Millimetres in each unit that a file may carry."""

MAX_FACETS = 1 << 26
"""Facets of one model, so that a small file can't ask for all memory (ten times the largest jewellery export seen)."""

MAX_INSTANCED_FACETS = 1 << 24
"""Facets that a file may ask for by repeating its parts, when that is more than it stores."""

MAX_COPIES, FREE_COPIES = 16, 1 << 21
"""How many times what it stores a file may ask for by repeating its parts, beyond the latter number of facets.

A kilobyte of nested components is then a model of at most 2 M facets, and not of 16 M.
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
"""Codes of notes about what may have changed the shape: a person looks before the model is made."""

READER_NOTES = INFO_NOTES | WARNING_NOTES
"""Codes of all notes, so that a command line can tell them apart from findings about the model."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the file that is reported and stops nothing; its code decides whether a person looks."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """``vertices`` (V, 3) float64 in ``unit``; ``facets`` (F, 3) integer, every index within the vertices.

    ``unit`` is None where the format carries none. ``stated_unit`` is what to tell where the numbers were converted.
    """

    vertices: NDArray[np.float64]
    facets: NDArray[np.integer]
    unit: str | None = None
    notes: tuple[Note, ...] = ()
    stated_unit: str | None = None


def check_indices(indices: NDArray[np.integer], vertex_count: int, what: str = "facet") -> None:
    """Raise :class:`CorruptModel` unless every index is within ``[0, vertex_count)``."""
    if len(indices) == 0:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= vertex_count:
        raise CorruptModel(
            f"a {what} names vertex {low if low < 0 else high} (from 0), but there are {vertex_count} vertices; "
            "export the model again"
        )


def line_of(data: bytes, position: int) -> int:
    """The number (from 1) of the line that holds byte ``position``."""
    return data.count(b"\n", 0, max(0, position)) + 1


def excerpt(data: bytes, position: int, length: int = 24) -> str:
    """The token at ``position``, printable and short, for an error message."""
    token = data[position : position + length].split(maxsplit=1)
    return ascii(token[0].decode("latin-1")) if token else "the end of the file"
