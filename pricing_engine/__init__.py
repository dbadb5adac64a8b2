"""Facet's pricing engine: a 3D model in, an analysis and a replayable quote out.

Pure computation: no database, no web, no broker. ``ENGINE_VERSION`` is part of every analysis and quote id: raise it
whenever a number changes, and for nothing else (``tests/golden``). The product's version is the package's.
"""

ENGINE_VERSION = "0.3.0"
