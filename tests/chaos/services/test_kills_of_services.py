"""The long run of :mod:`tests.support.chaos.kills`: ten minutes of all faults on a separate stack (``make chaos``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.chaos.faults import disk_folders
from tests.support.chaos.kills import Plan, disturbed
from tests.support.chaos.report import keep_logs, markdown, write
from tests.support.chaos.seed import chaos_seed
from tests.support.stack import running

SECONDS = float(os.environ.get("FACET_CHAOS_S", "600"))
RATE = 3.0
REPORT = Path(".facet") / "chaos"
# A model has 51 kB; the disk becomes full only when the test fills it.
MODEL_DISK_BYTES = int((128 << 20) + 2 * 51_300 * RATE * 2 * SECONDS)


@pytest.mark.skipif(os.environ.get("FACET_CHAOS") != "long", reason="ten minutes; `make chaos` runs it")
@pytest.mark.timeout(3 * SECONDS + 1500)
def test_ten_minutes(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    with running(folder, disk_folders(folder, MODEL_DISK_BYTES)) as stack:
        plan = Plan(SECONDS, every_s=4, seed=chaos_seed(), long=True, rate=RATE)
        try:
            report = disturbed(stack, plan, tmp_path)
        except BaseException:
            keep_logs(stack, REPORT / f"kills-{plan.seed}-logs")
            raise
        write(report, stack, REPORT)
    print(markdown(report))
    assert not report["findings"], markdown(report)
