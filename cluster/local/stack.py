"""The local stack as a whole: which parts it has; brought up, watched, brought down."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.local import ray_nodes, serve_part, servers, sessions
from cluster.local.parts import Part, PartFailed
from cluster.local.state import Folder, PartState, State
from cluster.local.supervisor import Supervisor
from data.contracts.topics import all_topics

# A supervisor that was told to stop has ended its parts by then, each within a few seconds.
DOWN_WITHIN_S = 60.0


class AlreadyUp(Exception):
    """Another supervisor runs the stack of this folder."""


class Stop:
    """Becomes true when the process is asked to end (Ctrl-C, SIGTERM, its terminal closed)."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        """Whether it was asked."""
        return self._asked


@dataclass(frozen=True, slots=True)
class Asked:
    """``cpus``: CPUs of each worker node, or of the head where ``workers`` is 0. ``port``: of the services, if any."""

    cpus: float
    workers: int
    port: int | None


@dataclass(frozen=True, slots=True)
class Stack:
    """The parts in the order in which they start, Ray's head among them, and the addresses of the whole."""

    parts: list[Part]
    head: Part
    url: str | None = None
    kafka_bootstrap: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class Progress:
    """Says once of each part that it runs."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, parts: Sequence[PartState]) -> None:
        """Look at the parts again."""
        for part in parts:
            if part.ready and part.name not in self._said:
                self._said.add(part.name)
                say(f"{part.name} {part.version} runs at {part.address}")


def run(folder: Folder, asked: Asked, started: Callable[[State], None]) -> None:
    """Bring the stack up, call ``started``, keep it running until this process is asked to end, and end it.

    Raises AlreadyUp, or PartFailed where a part can't start; nothing runs then.
    """
    with _locked(folder):
        clean_up(folder)
        place = ray_nodes.make_place(folder.path)
        stop = Stop()
        try:
            stack = compose(folder, place, asked)
            me, progress = sessions.of_process(os.getpid()), Progress()

            def publish(parts: tuple[PartState, ...]) -> None:
                dashboard = ray_nodes.dashboard_url(stack.head)
                whole = (dashboard, stack.url, stack.kafka_bootstrap, serve_part.masked(stack.settings))
                folder.write(State(me, str(place.temp), str(place.token), *whole, parts))
                progress(parts)

            supervisor = Supervisor(stack.parts, publish, stop, folder.held)
            try:
                supervisor.start()
                if state := folder.read():
                    started(state)
                supervisor.watch()
            except PartFailed:
                if not stop():
                    raise
            finally:
                supervisor.end()
        finally:
            _remove(place.temp, place.token)
            folder.forget(purge=False)


def compose(folder: Folder, place: ray_nodes.Place, asked: Asked) -> Stack:
    """The parts that are asked for; raises PartFailed where one can't be had."""
    nodes = ray_parts(place, asked.cpus, asked.workers)
    head = nodes[0]
    if asked.port is None:
        return Stack(nodes, head)
    given = {name: value for name, value in os.environ.items() if name.startswith("FACET_")}
    own = servers.servers(folder.data, folder.logs, all_topics(), given, say)
    settings = serve_part.environment(folder.data, asked.port, own.environment, given)
    settings |= serve_part.serve_environment(place.temp)
    nodes = [replace(node, env={**node.env, **settings}) for node in nodes]
    after = tuple(part.name for part in (*own.parts, *nodes[1:]))
    served = serve_part.part(folder.data, place, head, asked.port, settings, after)
    parts, url = [*own.parts, *nodes, served], serve_part.url(asked.port)
    return Stack(parts, nodes[0], url, settings[servers.KAFKA_URL], settings)


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def ray_parts(place: ray_nodes.Place, cpus: float, workers: int) -> list[Part]:
    """A head, and ``workers`` further nodes; with workers the head takes no tasks, as on a real cluster."""
    head = ray_nodes.head(place, cpus=0 if workers else cpus)
    names = [f"ray-worker-{number}" for number in range(1, workers + 1)]
    return [head, *(ray_nodes.worker(place, head.address, name, cpus) for name in names)]


def run_detached(folder: Folder, command: list[str]) -> State:
    """Run ``command``, a foreground ``facet up``, in a session of its own, and wait until all parts run.

    Raises AlreadyUp, or PartFailed with what the command said last where it ends before that.
    """
    with _locked(folder):
        pass  # only a look: the command takes the lock itself
    log = folder.logs / "supervisor.log"
    supervisor = sessions.start(command, log)
    progress = Progress()
    while sessions.reap(supervisor) is None:
        state = folder.read()
        if state and state.supervisor.pid == supervisor.pid:
            progress(state.parts)
        if state and state.supervisor.pid == supervisor.pid and all(part.ready for part in state.parts):
            return state
        time.sleep(0.1)
    said = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise PartFailed(said.removeprefix("facet: ") or f"the supervisor ended without a word; its log: {log}")


def clean_up(folder: Folder) -> bool:
    """End all that the recorded stack has left, whether its supervisor lives or was killed; False if nothing was up."""
    state = folder.read()
    if state is None:
        return False
    if sessions.alive(state.supervisor):
        os.kill(state.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_WITHIN_S
        while sessions.alive(state.supervisor):
            if time.monotonic() > deadline:
                os.kill(state.supervisor.pid, signal.SIGKILL)
            time.sleep(0.05)
        state = folder.read() or state
    for part in reversed(state.parts):
        if part.session:
            sessions.end(part.session, part.grace_s, part.end_by)
    _remove(Path(state.temp), Path(state.token))
    folder.forget(purge=False)
    return True


def _remove(temp: Path, token: Path) -> None:
    token.unlink(missing_ok=True)
    if temp.exists():
        shutil.rmtree(temp)


@contextmanager
def _locked(folder: Folder) -> Iterator[None]:
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyUp("the stack of this folder is up or coming up; `facet status` tells") from error
        yield


def detached_command(asked: Asked) -> list[str]:
    """The command line of a foreground ``facet up`` that is asked for the same."""
    which = "--ray-only" if asked.port is None else f"--port={asked.port}"
    up = [sys.executable, "-m", "pricing_engine", "up", "--no-samples", which]
    return [*up, f"--cpus={asked.cpus:g}", f"--workers={asked.workers}"]
