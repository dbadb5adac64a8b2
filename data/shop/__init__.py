"""The shop's database: products, and orders from their begin; what happens to them later comes back by events."""
