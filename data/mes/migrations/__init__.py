"""Migrations of mes."""
