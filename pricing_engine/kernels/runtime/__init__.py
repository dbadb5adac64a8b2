"""Compiler options, threads, vectors of eight, counters: what every kernel is built from."""
