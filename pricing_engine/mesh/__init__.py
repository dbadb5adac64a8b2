"""Reading models: load, weld, units, integrity, repair."""
