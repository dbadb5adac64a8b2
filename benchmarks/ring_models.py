"""Models that all differ, for benchmarks and tests of many jobs: no cache hits for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pricing_engine.mesh.load import load_model

STL_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_ring(path: Path, number: int, segments: int = 48) -> Path:
    """Write a wavy ring of ``segments`` ** 2 facets, a closed torus whose waves follow ``number``, as binary STL.

    Rings of different numbers below 10**10 differ; each is between 20 and 24 mm across, whatever its number.
    """
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    u, v = np.meshgrid(turn, turn[: segments // 2] * 2, indexing="ij")
    radius = 1.2 + 0.1 * np.sin(5 * u + number) + 0.05 * np.cos(3 * v + 0.37 * number)
    across = 9 + 0.001 * (number % 1000) + radius * np.cos(v)
    points = np.stack([across * np.cos(u), across * np.sin(u), radius * np.sin(v)], axis=-1).reshape(-1, 3)
    index = np.arange(u.size).reshape(u.shape)
    right, up = np.roll(index, -1, axis=0), np.roll(index, -1, axis=1)
    both = np.roll(right, -1, axis=1)
    facets = np.concatenate([np.stack([index, right, both], -1), np.stack([index, both, up], -1)]).reshape(-1, 3)
    return _write(path, points[facets])


def write_variant(path: Path, model: Path, number: int) -> Path:
    """Write the model as binary STL, scaled up by ``number`` in ten thousand, so that no cache hits."""
    mesh = load_model(model, None, 1).mesh
    return _write(path, mesh.vertices[mesh.facets] * (1 + 1e-4 * number))


def _write(path: Path, corners: np.ndarray) -> Path:
    records = np.zeros(len(corners), STL_RECORD)
    records["corners"] = corners
    path.write_bytes(bytes(80) + np.uint32(len(corners)).tobytes() + records.tobytes())
    return path
