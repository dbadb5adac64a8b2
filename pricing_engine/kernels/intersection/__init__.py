"""Pairs of facets that meet, decided exactly."""
