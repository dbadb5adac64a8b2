"""For all tests: hypothesis asserts no times, which belong to benchmarks."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("facet", deadline=None)
settings.load_profile("facet")
