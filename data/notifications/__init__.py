"""Notifications between processes by Redis; a lost Redis fails nothing."""
