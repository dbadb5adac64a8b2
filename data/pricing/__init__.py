"""Pricing's database: one row for every quote that somebody asked for, from queued to its end."""
