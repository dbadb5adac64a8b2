"""What services say to each other: events, their topics, and the statuses an order may have. Declarations, no I/O."""
