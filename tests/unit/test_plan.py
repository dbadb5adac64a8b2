"""What a model will need, told before it is read."""

from __future__ import annotations

from pricing_engine.distributed.plan import facets_in, memory_needed


def test_facets_follow_the_format() -> None:
    assert facets_in("ring.stl", 84 + 50 * 1000) == 1001
    assert facets_in("s3://bucket/ring.STL", 50_000) == 1000
    assert facets_in("ring.3mf", 6_000) == 1000
    assert facets_in("ring", 18_000) == 1000


def test_memory_grows_with_the_model_and_parsing_costs_more() -> None:
    small, large = memory_needed("a.stl", 1_000), memory_needed("a.stl", 300_000_000)
    assert 300 << 20 < small < 400 << 20
    assert large - small > 190 * 5_900_000
    assert memory_needed("a.obj", 300_000_000) > large
