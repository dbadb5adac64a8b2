"""Start of a part: failures and time-outs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.local import parts
from cluster.local.parts import Part, PartFailed
from tests.unit.cluster.local.fake_parts import failing_part


def test_a_failed_start_names_part_reason_and_log(tmp_path: Path) -> None:
    with pytest.raises(PartFailed) as failed:
        parts.start(failing_part(tmp_path, "import sys; sys.exit('the port is taken')"))
    message = str(failed.value)
    assert message.startswith("broken could not start: it exited with status 1")
    assert "the port is taken" in message
    assert str(tmp_path / "log") in message
    assert "\n" not in message


def test_a_part_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    part = failing_part(tmp_path, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)", 0.5)  # fmt: skip  # noqa: E501
    with pytest.raises(PartFailed, match="not ready within"):
        parts.start(part)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"nowhere could not start: .*No such file"):
        parts.start(Part("nowhere", ("/no/such/program",), "", "1", tmp_path / "log", ()))
