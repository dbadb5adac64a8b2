"""The state of the local stack between commands: one JSON file in ``.facet/stack`` below the current folder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.local.parts import Part
from cluster.local.sessions import Session

_RENAMED_KEYS = {"began": "start_time", "end_by": "stop_signal"}


@dataclass(frozen=True, slots=True)
class PartState:
    """The state of a part: ``session`` is None while it does not run; ``ready`` once its probes have answered."""

    name: str
    address: str
    version: str
    log: str
    probes: tuple[str, ...]
    session: Session | None
    ready: bool
    restarts: int
    stop_signal: int
    grace_s: float

    @classmethod
    def from_part(cls, part: Part, session: Session | None, ready: bool, restarts: int) -> PartState:
        """Return the state of ``part``."""
        return cls(
            part.name, part.address, part.version, str(part.log), part.probes, session, ready, restarts,
            part.stop_signal, part.grace_s,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """The stack: its supervisor, temporary folder, addresses, masked settings and parts."""

    supervisor: Session
    temp: str
    token: str
    ray_dashboard: str
    url: str | None
    kafka_bootstrap: str | None
    settings: dict[str, str]
    parts: tuple[PartState, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a stack. The supervisor holds the lock while it runs."""

    path: Path

    @property
    def logs(self) -> Path:
        """The folder of the parts' logs."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """The folder that survives a stop of the stack: the servers' data, models, passwords."""
        return self.path / "data"

    @property
    def lock(self) -> Path:
        """The file that is locked while a supervisor runs."""
        return self.path / "lock"

    @property
    def state(self) -> Path:
        """The state file (JSON)."""
        return self.path / "state.json"

    def hold_marker(self, part: str) -> Path:
        """Return the file that holds ``part``: while it exists, a part that has exited is not restarted."""
        return self.path / "held" / part

    def hold(self, part: str) -> None:
        """Do not restart ``part`` after its next exit, until :meth:`release`."""
        marker = self.hold_marker(part)
        marker.parent.mkdir(exist_ok=True)
        marker.touch()

    def release(self, part: str) -> None:
        """Allow ``part`` to restart; does nothing if it is not held."""
        self.hold_marker(part).unlink(missing_ok=True)

    def held(self, part: str) -> bool:
        """Return whether ``part`` is held."""
        return self.hold_marker(part).exists()

    def write(self, state: State) -> None:
        """Replace the state atomically: readers get the old one or the new one."""
        temporary = self.state.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(state), indent=1))
        os.replace(temporary, self.state)

    def read(self) -> State | None:
        """Return the state, or None if no stack was started."""
        try:
            document = json.loads(self.state.read_text(), object_hook=_rename_old_keys)
        except FileNotFoundError:
            return None
        parts = tuple(
            PartState(**{**part, "probes": tuple(part["probes"]), "session": _session(part["session"])})
            for part in document.pop("parts")
        )
        return State(**{**document, "supervisor": Session(**document["supervisor"]), "parts": parts})

    def forget(self, purge: bool) -> None:
        """Remove the state and all hold markers; with ``purge`` also logs, keys and data: the whole folder."""
        self.state.unlink(missing_ok=True)
        shutil.rmtree(self.path / "held", ignore_errors=True)
        if purge and self.path.exists():
            shutil.rmtree(self.path)


def current_folder() -> Folder:
    """Return the stack's folder below the current folder."""
    return Folder(Path.cwd() / ".facet" / "stack")


def _rename_old_keys(item: dict[str, Any]) -> dict[str, Any]:
    """Read the state of a stack that an earlier version started."""
    return {_RENAMED_KEYS.get(key, key): value for key, value in item.items()}


def _session(document: dict[str, Any] | None) -> Session | None:
    return None if document is None else Session(**document)
