"""For all tests: hypothesis asserts no times, which belong to benchmarks; others' warnings are filtered."""

from __future__ import annotations

import authlib.deprecate  # noqa: F401 - puts its own warning filter first: before those of pytest, not after them
from hypothesis import settings

settings.register_profile("facet", deadline=None)
settings.load_profile("facet")
