"""How Facet runs: the local stack, Ray and Serve configuration, the check of the cluster files, images."""
