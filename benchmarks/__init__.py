"""Benchmarks of the kernels and the complete engine against the fastest peers, side by side in one run."""
