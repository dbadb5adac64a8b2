"""Resource estimate (``distributed/resource_estimate.py``) of a model before it is read."""

from __future__ import annotations

from pricing_engine.distributed.resource_estimate import cpu_limit, estimate_facets, limits_for, memory_needed


def test_facets_follow_the_format() -> None:
    assert estimate_facets("ring.stl", 84 + 50 * 1000) == 1001
    assert estimate_facets("s3://bucket/ring.STL", 50_000) == 1000
    assert estimate_facets("ring.3mf", 6_000) == 1000
    assert estimate_facets("ring", 18_000) == 1000


def test_memory_grows_with_the_model_and_parsing_costs_more() -> None:
    small, large = memory_needed("a.stl", 1_000), memory_needed("a.stl", 300_000_000)
    assert 300 << 20 < small < 400 << 20
    assert large - small > 190 * 5_900_000
    assert memory_needed("a.obj", 300_000_000) > large


def test_time_on_a_worker_grows_with_the_model_between_bounds() -> None:
    times = [cpu_limit("a.stl", size) for size in (0, 1_000_000, 50_000_000, 1 << 40)]
    assert times == sorted(times)
    assert times[0] == 15.0
    assert times[1] < 20.0
    assert times[3] == cpu_limit("a.stl", 1 << 50) == 900.0


def test_a_worker_may_grow_by_its_reservation_and_never_beyond_the_node() -> None:
    small, large = memory_needed("a.stl", 1_000), memory_needed("a.stl", 300_000_000)
    assert small + limits_for(1.0, small, 1 << 40).memory < 1 << 30
    assert large < small + limits_for(1.0, large, 1 << 40).memory < 1.3 * large
    assert limits_for(1.0, large, large).memory < large
