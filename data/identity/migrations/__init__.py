"""Migrations of identity."""
