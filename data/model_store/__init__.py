"""Uploaded models: objects named by the hash of their content."""
