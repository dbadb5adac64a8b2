"""The shop's database: products, and orders from their creation; later changes arrive as events."""
