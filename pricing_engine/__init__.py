"""Facet's pricing engine: a 3D model in, an analysis and a replayable quote out.

Pure computation: no database, no web, no broker. ``ENGINE_VERSION`` is part of every analysis and quote id, so it
changes whenever a number could.
"""

ENGINE_VERSION = "0.3.0"
