"""Bounded work: counters of node visits and pair tests on meshes that make a careless search quadratic."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pricing_engine.analysis import findings, stages
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.solid import classify
from pricing_engine.kernels.intersection import pair_search, self_intersection
from pricing_engine.kernels.intersection.pair_search import Pairs, find_pairs
from pricing_engine.kernels.intersection.self_intersection import self_intersections
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.search_counters import Counts, counting
from pricing_engine.kernels.solid import generalized_winding, winding
from pricing_engine.kernels.solid.mass import mass_properties
from pricing_engine.kernels.spatial.bvh import Bvh, build_bvh
from pricing_engine.mesh import nesting
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.repair import UNDECIDED, repair
from pricing_engine.mesh.weld import canonical_indexed
from tests.naive import self_intersection as naive
from tests.support import worst_cases

MAX_WORK_PER_N_LOG_N = 1200
"""Node visits and pair tests of all steps together, times n log2 n; a search of all pairs of 100,000 takes 3,000.

An open mesh is searched a second time with the caps that close it, up to four times as many facets.
"""

MIN_WORK = 20_000_000  # a tenth of a second: small meshes may be searched in full

MAX_LINE_TERMS = generalized_winding._MAX_WORK + 32 * (generalized_winding._MAX_LINE_WORK + 1_000_000)
"""Terms of the estimate of open volumes, which samples a fixed number of lines, whatever n."""

NAMED = ("equal", "coplanar", "stacked_sheets", "around_edge", "crossing_fins", "slivers", "large_over_small",
         "tiny_bodies")  # fmt: skip


def mesh_of(kind: str, n: int) -> Mesh:
    return canonical_indexed(*worst_cases.KINDS[kind](n), 2)


def analyse(raw: Mesh, threads: int = 2) -> tuple[findings.RepairedMesh, findings.Solid, Counts]:
    """Run the integrity and geometry stages."""
    with counting() as counts:
        topology = measure_topology(raw, threads)
        mesh, repairs = repair(raw, topology, threads)
        repaired_topology = topology if mesh is raw else measure_topology(mesh, threads)
        bvh = build_bvh(mesh, threads)
        pairs = find_pairs(mesh, bvh, threads)
        crossing = stages._crossing(raw, mesh, bvh, pairs, threads)
        sealed = repaired_topology.winding_consistent and repaired_topology.boundary_edges == 0
        repaired = findings.RepairedMesh(raw, topology, crossing, mesh, repairs, sealed)
        solid = stages._enclose(repaired, mass_properties(raw, threads), bvh, pairs, repaired_topology, threads)
    return repaired, solid, counts


def flags_of(mesh: Mesh, bvh: Bvh, pairs: Pairs) -> NDArray[np.bool_]:
    flags = self_intersections(mesh, bvh, pairs, 2)
    assert flags is not None
    return flags


def check(n: int, counts: Counts) -> None:
    lines = counts.pairs["generalized_winding"]
    assert lines < MAX_LINE_TERMS, counts
    assert 0 < counts.total() - lines < max(MIN_WORK, MAX_WORK_PER_N_LOG_N * n * math.log2(n)), (n, counts)


@pytest.mark.parametrize("kind", worst_cases.KINDS)
def test_work_is_n_log_n_at_1_k_and_10_k(kind: str) -> None:
    for n in (1000, 10_000):
        _, solid, counts = analyse(mesh_of(kind, n))
        assert solid.volume is None or np.isfinite(solid.volume)
        check(n, counts)


@pytest.mark.parametrize("kind", NAMED)
def test_work_is_n_log_n_at_100_k(kind: str) -> None:
    n = 100_000
    check(n, analyse(mesh_of(kind, n))[2])


@pytest.mark.parametrize("n", [800, 2800])
@pytest.mark.parametrize("kind", ["tangle", "star_wide", "one_box", "coplanar_tilted"])
def test_work_is_bounded_just_below_the_limits_on_pairs_and_crossings(kind: str, n: int) -> None:
    _, _, counts = analyse(mesh_of(kind, n))
    assert counts.total() < 4_000 * n * math.log2(n), counts


@pytest.mark.parametrize("kind", worst_cases.KINDS)
def test_flags_agree_with_the_exact_twin(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of(kind, 24)
    expected = np.zeros(mesh.facet_count, np.bool_)
    expected[[facet for pair in naive.meeting_pairs(mesh.vertices, mesh.facets) for facet in pair]] = True
    bvh = build_bvh(mesh, 2)
    pairs = find_pairs(mesh, bvh, 2)
    nothing = np.empty(0, np.int32)
    assert pairs.complete
    assert np.array_equal(flags_of(mesh, bvh, pairs), expected)
    assert np.array_equal(flags_of(mesh, bvh, Pairs(nothing, nothing, False)), expected)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 2)  # where facets repeat one another, one of each is searched for
    monkeypatch.setattr(pair_search, "MAX_PAIRS_PER_FACET", 0)
    assert np.array_equal(flags_of(mesh, bvh, find_pairs(mesh, bvh, 2)), expected)


@pytest.mark.parametrize("kind", ["equal_both_ways", "equal_tetrahedra"])
def test_equal_facets_are_counted_once_and_bound_the_same_solid(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, facets = worst_cases.KINDS[kind](48)
    other, more = worst_cases.tiny_bodies(4)
    beside = canonical_indexed(
        np.concatenate([vertices, other + 5.0]), np.concatenate([facets, more + len(vertices)]), 2
    )
    bvh = build_bvh(beside, 2)
    every = find_pairs(beside, bvh, 2)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 100)
    monkeypatch.setattr(pair_search, "MAX_PAIRS_PER_FACET", 0)
    once = find_pairs(beside, bvh, 2)
    assert every.same is None
    assert once.same is not None
    assert len(np.unique(once.same)) < beside.facet_count / 3
    body = np.zeros(beside.facet_count, np.int32)
    one, many = (classify(beside, bvh, pairs, True, body, 2) for pairs in (once, every))
    assert one is not None
    assert many is not None
    assert one.status.tobytes() == many.status.tobytes()
    assert one.pieces.tobytes() == many.pieces.tobytes()


def test_copies_that_cross_are_cut_as_if_each_were_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, facets = worst_cases.equal_tetrahedra(16)
    mesh = canonical_indexed(
        np.concatenate([vertices, vertices + np.array([5.0, 4.0, 3.0])]), np.concatenate([facets, facets + 4]), 2
    )
    bvh, body = build_bvh(mesh, 2), np.zeros(mesh.facet_count, np.int32)
    every = find_pairs(mesh, bvh, 2)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 40)
    monkeypatch.setattr(pair_search, "MAX_PAIRS_PER_FACET", 0)
    once = find_pairs(mesh, bvh, 2)
    assert once.same is not None
    one, many = (classify(mesh, bvh, pairs, True, body, 2) for pairs in (once, every))
    assert one is not None
    assert many is not None
    assert len(one.pieces) > 0
    assert one.pieces.tobytes() == many.pieces.tobytes()


@pytest.mark.parametrize("kind", ["touching_fins", "equal_tetrahedra", "tangle"])
def test_any_number_of_threads_has_the_same_result(kind: str) -> None:
    mesh = mesh_of(kind, 3000)
    (one, a, work), (many, b, again) = analyse(mesh, 1), analyse(mesh, 5)
    if one.crossing is None or many.crossing is None:
        assert one.crossing is many.crossing
    else:
        assert np.array_equal(one.crossing, many.crossing)
    assert a.volume == b.volume
    assert work == again


def test_facets_beside_very_many_others_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of("touching_fins", 3000)
    assert analyse(mesh)[0].crossing is not None
    monkeypatch.setattr(pair_search, "MIN_WORK", 1000)
    monkeypatch.setattr(pair_search, "MIN_CHUNK_WORK", 1000)
    monkeypatch.setattr(pair_search, "WORK_PER_FACET", 1.0)
    monkeypatch.setattr(self_intersection, "MIN_WORK", 1000)
    monkeypatch.setattr(self_intersection, "WORK_PER_FACET", 1.0)
    for threads in (1, 3):
        repaired, solid, _ = analyse(mesh, threads)
        assert repaired.crossing is None
        assert solid.volume is None


def test_what_is_not_measured_is_reported_in_the_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.ply"
    path.write_bytes(worst_cases.ply(*worst_cases.inverted_stacked_plates(120)))
    codes = {check.code for check in measure(path, None, Settings(), 2).analysis.checks}
    assert not codes & {"self_intersections_unknown", "inside_out_unknown"}
    monkeypatch.setattr(stages, "self_intersections", lambda *_: None)
    monkeypatch.setattr(nesting, "STEPS_PER_FACET", 0.0)
    monkeypatch.setattr(nesting, "MIN_STEPS", 10)
    analysis = measure(path, None, Settings(), 2).analysis
    found = {check.code: check.severity for check in analysis.checks}
    assert analysis.integrity.self_intersecting_facets is None
    assert found["self_intersections_unknown"] == found["inside_out_unknown"] == "warning"


def test_exact_decisions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of("fins_on_plate", 6000)
    bvh = build_bvh(mesh, 2)
    pairs = find_pairs(mesh, bvh, 2)
    assert not flags_of(mesh, bvh, pairs).any()
    monkeypatch.setattr(self_intersection, "MAX_EXACT", 100)
    monkeypatch.setattr(self_intersection, "MAX_EXACT_PER_FACET", 0)
    assert self_intersections(mesh, bvh, pairs, 2) is None


def test_rays_through_a_stack_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of("stacked_plates", 3000)
    assert analyse(mesh)[1].volume == pytest.approx(4000)
    monkeypatch.setattr(winding, "NODES_PER_FACET", 0.1)
    monkeypatch.setattr(winding, "MIN_NODES", 100)
    assert analyse(mesh)[1].volume is None


def test_stacked_bodies_inside_out_are_flipped_or_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of("inverted_stacked_plates", 1200)
    repaired, solid, _ = analyse(mesh)
    assert [(r.code, r.count) for r in repaired.repairs] == [("bodies_turned", 100)]
    assert solid.volume == pytest.approx(4000)
    monkeypatch.setattr(nesting, "STEPS_PER_FACET", 0.0)
    monkeypatch.setattr(nesting, "MIN_STEPS", 10)
    assert [(r.code, r.count) for r in analyse(mesh)[0].repairs] == [(UNDECIDED, 100)]


def test_the_estimate_of_an_open_volume_is_bounded() -> None:
    mesh = mesh_of("stacked_sheets", 10_000)
    _, _, counts = analyse(mesh)
    assert generalized_winding._MAX_WORK < counts.pairs["generalized_winding"] < MAX_LINE_TERMS
