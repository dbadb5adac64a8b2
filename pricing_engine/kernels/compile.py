"""The one set of compiler options that all kernels share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` without the GIL, cached on disk, with IEEE (not Python) division.

    No ``fastmath``: reassociation could change a quote between compilers. Multiply-adds are written by hand.
    """
    compiled: Function = numba.njit(function, nogil=True, cache=True, error_model="numpy")
    return compiled


def inlined(function: Function) -> Function:
    """Compile a small helper that is inlined by LLVM into the kernels that call it."""
    compiled: Function = numba.njit(function, nogil=True, cache=True, error_model="numpy", forceinline=True)
    return compiled
