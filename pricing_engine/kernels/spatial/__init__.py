"""Hierarchies and orders over facets and points, and searches in them."""
