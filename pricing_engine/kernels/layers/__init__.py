"""Slices, their contours and islands, and what a tool can reach."""
