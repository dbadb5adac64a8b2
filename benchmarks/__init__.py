"""Kernels and the whole engine against the fastest peers, side by side in one run."""
