"""Run the fuzzer: 10 s in ``make test``, 5 minutes in ``make chaos``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SECONDS = 300 if os.environ.get("FACET_CHAOS") == "long" else 10


@pytest.mark.timeout(300 + 2 * SECONDS)
def test_fuzzing_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.badinput.fuzz_loaders", "--seconds", str(SECONDS)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # libFuzzer does not remove its files
    process = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240 + 2 * SECONDS, check=False
    )
    assert process.returncode == 0, process.stderr[-4000:]
    assert "DONE" in process.stderr or "Done" in process.stderr
