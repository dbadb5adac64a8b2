"""The shop: the catalogue, and orders until a price is calculated."""
