"""The root address: the API documents of all services, health, and metrics."""
