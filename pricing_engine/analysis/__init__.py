"""Stages over the kernels, and the immutable Analysis assembled from them."""
