"""What belongs to no service: the documents of all APIs and events, health, and metrics."""
