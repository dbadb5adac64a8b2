"""Migrations of status."""
