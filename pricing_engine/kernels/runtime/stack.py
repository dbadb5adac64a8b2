"""A stack of pairs of integers in an (n, 2) int64 array, for the descent of a tree: its depth is a local variable."""

from __future__ import annotations

from pricing_engine.kernels.runtime.compile import inlined


@inlined
def push(stack, depth, box, level):
    """Put (box, level) on a stack of ``depth`` entries; returns the new depth."""
    stack[depth, 0], stack[depth, 1] = box, level
    return depth + 1


@inlined
def pop(stack, depth):
    """Take the last entry of a stack that is not empty; returns (depth, box, level)."""
    return depth - 1, stack[depth - 1, 0], stack[depth - 1, 1]
