"""Winding numbers of repeated facets: as if each were tested alone, and each copy a little above those before it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.kernels.mesh import Ints, Mesh
from pricing_engine.kernels.solid.ray_crossings import normal_z
from pricing_engine.kernels.solid.repeated_winding import repeated_outer_winding
from pricing_engine.kernels.solid.winding import JITTER, general_position, outer_winding
from pricing_engine.kernels.spatial.bvh import build_bvh
from tests.support.kernel_inputs import BOX, Floats, meshes, randoms, shells
from tests.support.meshes import welded


def first_copies(mesh: Mesh) -> Ints:
    """For each facet the first one with the same vertices."""
    first: dict[tuple[int, ...], int] = {}
    return np.array([first.setdefault(tuple(sorted(f)), i) for i, f in enumerate(mesh.facets.tolist())], np.int32)


def both(mesh: Mesh, threads: int) -> tuple[list[int], list[int]]:
    bvh = build_bvh(mesh, 1)
    moved = general_position(mesh, bvh, JITTER, 1)
    which = np.arange(mesh.facet_count, dtype=np.int64)
    found = repeated_outer_winding(mesh, moved, first_copies(mesh), which, threads)
    expected = outer_winding(mesh, bvh, moved, which, 1)
    assert found is not None
    assert expected is not None
    some = which[::3][::-1].copy()
    part = repeated_outer_winding(mesh, moved, first_copies(mesh), some, threads)
    assert part is not None
    assert part.tolist() == found[some].tolist()
    return found.tolist(), expected.tolist()


@settings(max_examples=30)
@given(shells(1, 3), st.lists(st.integers(0, 2), min_size=1, max_size=6), randoms())
def test_agrees_with_one_ray_a_facet(parts: list[Floats], copies: list[int], random: np.random.Generator) -> None:
    chosen = [parts[i % len(parts)] for i in copies]
    turned = [part[:, ::-1] if random.random() < 0.4 else np.roll(part, 1, axis=1) for part in chosen]
    corners = np.concatenate(turned)
    mesh = welded(corners[random.permutation(len(corners))])
    found, expected = both(mesh, 1)
    assert found == expected
    assert both(mesh, 3)[0] == found


@settings(max_examples=15)
@given(meshes(1, 40, flat=False), st.integers(1, 3))
def test_agrees_on_facets_that_close_nothing(mesh: Mesh, times: int) -> None:
    """Rays run to the nearer side there, so that only those upwards count the same."""
    repeated = Mesh(mesh.vertices, np.repeat(mesh.facets, times, axis=0))
    closed = Mesh(mesh.vertices, np.concatenate([repeated.facets, repeated.facets[:, ::-1]]))
    found, expected = both(closed, 1)
    assert found == expected


@settings(max_examples=15)
@given(st.integers(1, 9), st.integers(0, 4))
def test_copies_of_a_box_lie_inside_one_another(same_way: int, other_way: int) -> None:
    """Over a facet that faces up, its last copy has nothing outside, the one before it a winding number of 1 ..."""
    mesh = welded(np.concatenate([BOX] * same_way + [BOX[:, ::-1]] * other_way))
    found, _ = both(mesh, 2)
    moved = general_position(mesh, build_bvh(mesh, 1), JITTER, 1)
    for group in range(12):
        copies = [group + 12 * k for k in range(same_way + other_way)]
        outside = Counter(found[f] for f in copies)
        assert min(outside) >= -other_way
        assert max(outside) <= same_way
        if other_way == 0:
            up = normal_z(moved, mesh.facets, group) > 0
            ascending = list(range(same_way))
            assert [found[f] for f in copies] == (ascending[::-1] if up else ascending)


def test_facets_that_cancel_out_do_not_count_for_others() -> None:
    inner = BOX * 0.5
    mesh = welded(inner, BOX * 2, BOX[:, ::-1] * 2)
    found, _ = both(mesh, 1)
    assert found[:12] == [0] * 12
