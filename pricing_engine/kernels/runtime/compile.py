"""The one set of compiler options that all kernels share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
# No reference counts: each is an atomic operation, contended by the threads that share an array. No cache of their own:
# they are in the caches of the kernels that call them, and a lookup in a new process takes half a millisecond each.
_UNCOUNTED: dict[str, Any] = {**_OPTIONS, "cache": False, "_nrt": False}


def kernel(function: Function) -> Function:
    """Compile ``function`` without the GIL, cached on disk, with IEEE (not Python) division.

    No ``fastmath``: reassociation could change a quote between compilers. Multiply-adds are written by hand.
    """
    compiled: Function = numba.njit(function, **_OPTIONS)
    return compiled


def uncounted(function: Function) -> Function:
    """Compile a function for hot loops of kernels to call, which neither allocates nor returns arrays."""
    compiled: Function = numba.njit(function, **_UNCOUNTED)
    return compiled


def inlined(function: Function) -> Function:
    """Compile a small helper, :func:`uncounted` too, that is inlined by LLVM into the kernels that call it."""
    compiled: Function = numba.njit(function, forceinline=True, **_UNCOUNTED)
    return compiled
