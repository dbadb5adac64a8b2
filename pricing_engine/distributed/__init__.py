"""Pricing on a Ray cluster: the only place of the engine that knows Ray."""
