"""The long run of :mod:`tests.services.kills`: ten minutes of ``kill -9`` over a stack of its own (``make chaos``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.services.kills import Plan, disturbed, markdown, write
from tests.services.stack import running

SECONDS = float(os.environ.get("FACET_CHAOS_S", "600"))
REPORT = Path(".facet") / "chaos"


@pytest.mark.skipif(os.environ.get("FACET_CHAOS") != "long", reason="ten minutes; `make chaos` runs it")
@pytest.mark.timeout(SECONDS + 900)
def test_ten_minutes(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    with running(folder) as stack:
        report = disturbed(stack, Plan(seconds=SECONDS, every_s=4, seed=11), tmp_path)
        write(report, stack, REPORT)
    print(markdown(report))
    assert not report["findings"], markdown(report)
