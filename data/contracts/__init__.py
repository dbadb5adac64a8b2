"""The contract between services: events, their topics, and the statuses of an order. Declarations, no I/O."""
