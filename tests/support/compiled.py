"""Compile a test's own functions around inlined helpers of kernels, which have no interface in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile with the kernels' arithmetic, but without a cache on disk: it would not see a changed helper."""
    wrapper: Function = numba.njit(function, error_model="numpy")
    return wrapper
