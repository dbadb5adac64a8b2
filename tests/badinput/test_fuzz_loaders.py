"""The fuzzer runs, for a bounded time, and finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_ten_seconds_of_fuzzing_find_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.badinput.fuzz_loaders", "--seconds", "10"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # libFuzzer leaves without tidying up
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr or "Done" in done.stderr
