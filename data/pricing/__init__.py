"""Pricing's database: one row for every requested quote, from queued to finished."""
