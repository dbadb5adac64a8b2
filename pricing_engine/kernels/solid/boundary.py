"""Which part of the surface bounds the solid: the contract between the winding kernels and what uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INSIDE, UNCUT, CUT = 0, 1, 2
CAP, CRACK = -1, -2


@dataclass(frozen=True, slots=True)
class Boundary:
    """The boundary of the region with winding number at least 1.

    ``status`` (F,) int8: INSIDE, the facet lies within the solid (or outside of it) and bounds nothing; UNCUT, all of
    it is boundary; CUT, part of it is, and that part is given as triangles in ``pieces`` (P, 3, 3) float64 mm, oriented
    like their facet ``piece_facet`` (P,) int32. Closings of holes in open models are pieces with facet CAP,
    or CRACK where the hole is too narrow to let anything through.
    Uncut facets and pieces together form a closed surface without overlaps.
    """

    status: NDArray[np.int8]
    pieces: NDArray[np.float64]
    piece_facet: NDArray[np.int32]

    @staticmethod
    def everything(facet_count: int) -> Boundary:
        """Return the boundary of a closed model without overlaps: every facet."""
        return Boundary(np.full(facet_count, UNCUT, np.int8), np.empty((0, 3, 3)), np.empty(0, np.int32))
