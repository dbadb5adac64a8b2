"""Stages over the kernels, and the one immutable Analysis they make."""
