"""The version of the product, from its package metadata; ``pricing_engine.ENGINE_VERSION`` is about numbers alone."""

from __future__ import annotations

from importlib.metadata import version

PRODUCT_VERSION = version("facet")
