"""Run native code on untrusted models in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def run_isolated(script: str | os.PathLike[str], *arguments: str | os.PathLike[str], timeout_s: float) -> int:
    """Run a Python script without the caller's environment paths or streams; return its exit code.

    The script sets its own memory and CPU limits. Raises ``subprocess.TimeoutExpired`` after ``timeout_s``.
    """
    process = subprocess.run(
        [sys.executable, "-I", script, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    return process.returncode
