"""Arrays of worst-case capacity whose untouched pages cost no memory."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SMALL = 1 << 22


def sparse_empty(shape: tuple[int, ...] | int, dtype: DTypeLike) -> NDArray[Any]:
    """Like ``np.empty``, but never backed by huge pages.

    NumPy requests huge pages for 4 MiB and more, and then a few used rows here and there make the whole array resident.
    """
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    count = size * np.dtype(dtype).itemsize
    if count < _SMALL or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.empty(shape, dtype)
    pages = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype, size).reshape(shape)
