"""Redis: a cache and a messenger, either of which may vanish without an error."""
