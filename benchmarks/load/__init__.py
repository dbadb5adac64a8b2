"""The parts of the load test: who uses Facet and how, what they send, and how one run is made and told."""
