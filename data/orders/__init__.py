"""Orders of a customer: their states folded from events, and the order in which events apply."""
