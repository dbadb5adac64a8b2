"""Models for a load test: rings of ten thousand facets that all differ, so that no cache hits."""

from __future__ import annotations

import numpy as np

from benchmarks.ring_models import STL_RECORD

SEGMENTS = 100
_WAVES = 6


def ring(seed: int) -> bytes:
    """Return a closed ring of ``SEGMENTS`` ** 2 facets with waves drawn from ``seed``, as binary STL, in mm."""
    rng = np.random.default_rng(seed)
    around = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    u, v = np.meshgrid(around, np.linspace(0, 2 * np.pi, SEGMENTS // 2, endpoint=False), indexing="ij")
    radius = np.full(u.shape, 1.4)
    for wave in range(1, _WAVES + 1):
        height, turn, twist = rng.normal(0, 0.04 / wave), rng.uniform(0, 2 * np.pi), rng.integers(0, 3)
        radius += height * np.cos(wave * u + twist * v + turn)
    across = rng.uniform(8, 10) + radius * np.cos(v)
    points = np.stack([across * np.cos(u), across * np.sin(u), radius * np.sin(v)], axis=-1).reshape(-1, 3)
    index = np.arange(u.size).reshape(u.shape)
    right, up = np.roll(index, -1, axis=0), np.roll(index, -1, axis=1)
    both = np.roll(right, -1, axis=1)
    facets = np.concatenate([np.stack([index, right, both], -1), np.stack([index, both, up], -1)]).reshape(-1, 3)
    records = np.zeros(len(facets), STL_RECORD)
    records["corners"] = points[facets]
    return bytes(80) + np.uint32(len(facets)).tobytes() + records.tobytes()
