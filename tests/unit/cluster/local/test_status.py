"""The state file and the status report."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from cluster.local import parts, sessions
from cluster.local.state import Folder, PartState, State
from cluster.local.status import status_report
from tests.unit.cluster.local.fake_parts import web_server


def test_the_state_round_trips_and_status_probes_the_parts(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    part = web_server(tmp_path)
    session = parts.start(part)
    supervisor = sessions.session_of(os.getpid())
    part_state = PartState.from_part(part, session, True, 0)
    state = State(supervisor, "/tmp/none", "/tmp/none", "http://127.0.0.1:1", None, None, {}, (part_state,))
    folder.write(state)
    assert folder.read() == state
    assert status_report(folder, state)["healthy"]
    os.kill(session.pid, signal.SIGSTOP)  # alive, but it does not answer
    document = status_report(folder, state)
    assert [(row["name"], row["healthy"]) for row in document["parts"]] == [("supervisor", True), ("web", False)]
    os.kill(session.pid, signal.SIGCONT)
    sessions.stop(session, grace_s=2)
    assert not status_report(folder, state)["healthy"]
    folder.forget(purge=True)
    assert folder.read() is None


def test_the_state_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    folder, session = Folder(tmp_path), sessions.Session(7, 1.5)
    part_state = PartState.from_part(web_server(tmp_path), session, True, 0)
    state = State(session, "/tmp/none", "/tmp/none", "http://127.0.0.1:1", None, None, {}, (part_state,))
    folder.write(state)
    written = folder.state.read_text()
    folder.state.write_text(written.replace('"start_time"', '"began"').replace('"stop_signal"', '"end_by"'))
    assert folder.read() == state
