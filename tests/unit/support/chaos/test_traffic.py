"""The models of a chaos run: small for every seed, and all different."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ring_models import STL_RECORD, write_ring
from pricing_engine.analysis.measure import Settings, measure
from tests.support.chaos.traffic import MODEL_SEGMENTS, first_model

SEEDS = [0, 7, 11, 23, 999_999, 2**31, 2**80, -5]


def corners(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), STL_RECORD, offset=84)["corners"].reshape(-1, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_models_are_small_for_every_seed(tmp_path: Path, seed: int) -> None:
    first = first_model(seed)
    assert 0 < first < 10**10
    for which in (0, 1, 999, 1470, 6000):
        path = write_ring(tmp_path / "ring.stl", first + which, MODEL_SEGMENTS)
        size = np.ptp(corners(path), axis=0)
        assert 2 <= size.min() <= size.max() <= 24
        assert path.stat().st_size == 84 + 50 * MODEL_SEGMENTS**2


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_model_is_valid_and_can_be_measured(tmp_path: Path, seed: int) -> None:
    path = write_ring(tmp_path / "ring.stl", first_model(seed) + 1470, MODEL_SEGMENTS)
    analysis = measure(path, None, Settings(), 1).analysis.to_dict()
    assert analysis["geometry"]["volume_mm3"] > 100, analysis


def test_all_models_of_a_run_differ(tmp_path: Path) -> None:
    numbers = [first_model(seed) + which for seed in (11, 23) for which in range(2000)]
    found = {hashlib.sha256(write_ring(tmp_path / "ring.stl", n, 8).read_bytes()).digest() for n in numbers}
    assert len(found) == len(numbers)


def test_different_seeds_have_different_models() -> None:
    assert len({first_model(seed) for seed in range(100)}) > 90
