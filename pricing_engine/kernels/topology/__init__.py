"""Connectivity of facets: welding, edges, components, repair of winding and holes."""
