"""What the local stack remembers between commands: one JSON file in ``.facet/stack`` below the current folder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.local.parts import Part
from cluster.local.sessions import Session


@dataclass(frozen=True, slots=True)
class PartState:
    """A part as last known: ``session`` is None before it is started, ``ready`` once its probes have answered."""

    name: str
    address: str
    version: str
    log: str
    probes: tuple[str, ...]
    session: Session | None
    ready: bool
    restarts: int
    end_by: int
    grace_s: float

    @classmethod
    def of(cls, part: Part, session: Session | None, ready: bool, restarts: int) -> PartState:
        """The record of a part."""
        return cls(
            part.name, part.address, part.version, str(part.log), part.probes, session, ready, restarts, part.end_by,
            part.grace_s,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """The stack: who supervises it, its temporary folder, what runs, where the whole is found; settings are masked."""

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
    """The stack's own folder. The lock is held by the supervisor as long as it lives."""

    path: Path

    @property
    def logs(self) -> Path:
        """Where each part's log lies."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """What is kept when the stack goes down: the servers' data, models, passwords."""
        return self.path / "data"

    @property
    def lock(self) -> Path:
        """Locked while a supervisor runs."""
        return self.path / "lock"

    @property
    def state(self) -> Path:
        """The JSON file."""
        return self.path / "state.json"

    def hold_marker(self, part: str) -> Path:
        """Return the file that keeps ``part`` down: while it exists, a part that has ended is not started again."""
        return self.path / "held" / part

    def hold(self, part: str) -> None:
        """Keep ``part`` down from its next end on, until :meth:`release`."""
        marker = self.hold_marker(part)
        marker.parent.mkdir(exist_ok=True)
        marker.touch()

    def release(self, part: str) -> None:
        """Let ``part`` be started again; nothing happens where it was not held."""
        self.hold_marker(part).unlink(missing_ok=True)

    def held(self, part: str) -> bool:
        """Return whether ``part`` is kept down."""
        return self.hold_marker(part).exists()

    def write(self, state: State) -> None:
        """Replace the state in one step: readers see the old one or the new one."""
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state), indent=1))
        os.replace(fresh, self.state)

    def read(self) -> State | None:
        """The state, or None where nothing has been brought up."""
        try:
            tree = json.loads(self.state.read_text())
        except FileNotFoundError:
            return None
        parts = tuple(
            PartState(**{**part, "probes": tuple(part["probes"]), "session": _session(part["session"])})
            for part in tree.pop("parts")
        )
        return State(**{**tree, "supervisor": Session(**tree["supervisor"]), "parts": parts})

    def forget(self, purge: bool) -> None:
        """Remove the state and all hold markers; with ``purge`` also logs, keys and data: the whole folder."""
        self.state.unlink(missing_ok=True)
        shutil.rmtree(self.path / "held", ignore_errors=True)
        if purge and self.path.exists():
            shutil.rmtree(self.path)


def here() -> Folder:
    """The folder of the stack that belongs to the current folder."""
    return Folder(Path.cwd() / ".facet" / "stack")


def _session(tree: dict[str, Any] | None) -> Session | None:
    return None if tree is None else Session(**tree)
