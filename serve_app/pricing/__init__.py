"""Pricing: requests by HTTP and by Kafka become jobs on the Ray cluster, and jobs become quotes."""
