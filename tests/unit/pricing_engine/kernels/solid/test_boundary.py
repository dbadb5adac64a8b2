"""The boundary of a model whose facets all bound it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.solid.boundary import CAP, CRACK, CUT, INSIDE, UNCUT, Boundary


@settings(max_examples=25)
@given(st.integers(0, 200))
def test_everything_is_whole_and_has_no_pieces(count: int) -> None:
    boundary = Boundary.everything(count)
    assert boundary.status.tolist() == [UNCUT] * count
    assert boundary.status.dtype == np.int8
    assert boundary.pieces.dtype == np.float64
    assert boundary.piece_facet.dtype == np.int32
    assert (boundary.pieces.shape, boundary.piece_facet.shape) == ((0, 3, 3), (0,))


def test_codes_are_distinct_and_closings_are_no_facets() -> None:
    assert len({INSIDE, UNCUT, CUT}) == 3
    assert CAP != CRACK
    assert max(CAP, CRACK) < 0
