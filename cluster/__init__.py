"""Deployment of Facet: the local stack, Ray and Serve configuration, checks of the cluster files, images."""
