"""Worker processes (``distributed/worker_process.py``): a job can be cancelled however the cluster was started."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import _thread, threading, time
from pricing_engine.distributed.worker_process import accept_cancellation
accept_cancellation()
threading.Timer(0.1, _thread.interrupt_main).start()
try:
    for _ in range(3_000):  # the flag that an interrupt sets ends no sleep
        time.sleep(0.01)
except KeyboardInterrupt:
    print("cancelled")
"""


@pytest.mark.parametrize("inherited", [signal.SIG_IGN, signal.SIG_DFL])
def test_an_interrupt_cancels_whatever_the_shell_has_set(inherited: signal.Handlers) -> None:
    before = signal.signal(signal.SIGINT, inherited)
    try:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.communicate(timeout=60)[0] == "cancelled\n"
