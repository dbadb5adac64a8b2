"""Supports below overhangs, for many directions."""
