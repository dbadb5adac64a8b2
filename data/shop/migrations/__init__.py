"""Migrations of shop."""
