"""The shop: the catalogue, and orders from their begin until a price is known."""
