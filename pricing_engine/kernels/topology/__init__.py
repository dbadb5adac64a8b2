"""How facets hang together: welding, edges, components, repair of winding and holes."""
