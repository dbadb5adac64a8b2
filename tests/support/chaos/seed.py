"""The seed of a chaos run: a new one each time, unless ``FACET_CHAOS_SEED`` names one."""

from __future__ import annotations

import os
import random
import secrets
from functools import cache

VARIABLE = "FACET_CHAOS_SEED"


@cache
def chaos_seed() -> int:
    """Return the seed of this process's runs, the same at every call, and print how to repeat it."""
    configured = os.environ.get(VARIABLE)
    seed = int(configured) if configured else secrets.randbelow(1_000_000)
    print(f"chaos seed {seed}: set {VARIABLE}={seed} for the same faults", flush=True)
    return seed


def stream(seed: int, name: str) -> random.Random:
    """Return a separate random stream for each ``name``: more draws from one do not shift the others."""
    return random.Random(f"{name} {seed}")
