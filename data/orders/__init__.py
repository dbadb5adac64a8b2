"""Orders: their state, projected from events, and the order in which a service applies events."""
