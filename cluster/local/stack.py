"""The local stack: compose its parts, start, supervise and stop them."""

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

# A supervisor stops each of its parts within a few seconds.
STOP_TIMEOUT_S = 60.0


class AlreadyUp(Exception):
    """Another supervisor runs the stack of this folder."""


class StopSignal:
    """Becomes true when the process receives SIGINT, SIGTERM or SIGHUP."""

    def __init__(self) -> None:
        self._requested = False
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, self._request_stop)

    def _request_stop(self, _signal_number: int, _frame: object) -> None:
        self._requested = True

    def __call__(self) -> bool:
        """Return whether a stop was requested."""
        return self._requested


@dataclass(frozen=True, slots=True)
class StackOptions:
    """``cpus``: CPUs of each worker node, or of the head if ``workers`` is 0. ``port``: of the services, if any."""

    cpus: float
    workers: int
    port: int | None


@dataclass(frozen=True, slots=True)
class Stack:
    """The parts in start order, Ray's head among them, and the addresses of the stack."""

    parts: list[Part]
    head: Part
    url: str | None = None
    kafka_bootstrap: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class ProgressPrinter:
    """Prints each part once when it becomes ready."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def __call__(self, parts: Sequence[PartState]) -> None:
        """Print the parts that have become ready."""
        for part in parts:
            if part.ready and part.name not in self._reported:
                self._reported.add(part.name)
                print_progress(f"{part.name} {part.version} runs at {part.address}")


def run(folder: Folder, options: StackOptions, on_started: Callable[[State], None]) -> None:
    """Start the stack, call ``on_started``, supervise it until this process receives a stop signal, and stop it.

    Raises AlreadyUp, or PartFailed if a part can't start, with all parts stopped.
    """
    with _locked(folder):
        clean_up(folder)
        paths = ray_nodes.make_paths(folder.path)
        stop = StopSignal()
        try:
            stack = compose(folder, paths, options)
            supervisor_session, progress = sessions.session_of(os.getpid()), ProgressPrinter()

            def publish(parts: tuple[PartState, ...]) -> None:
                dashboard = ray_nodes.dashboard_url(stack.head)
                addresses = (dashboard, stack.url, stack.kafka_bootstrap, serve_part.masked(stack.settings))
                folder.write(State(supervisor_session, str(paths.temp), str(paths.token), *addresses, parts))
                progress(parts)

            supervisor = Supervisor(stack.parts, publish, stop, folder.held)
            try:
                supervisor.start()
                if state := folder.read():
                    on_started(state)
                supervisor.watch()
            except PartFailed:
                if not stop():
                    raise
            finally:
                supervisor.stop_all()
        finally:
            _remove(paths.temp, paths.token)
            folder.forget(purge=False)


def compose(folder: Folder, paths: ray_nodes.ClusterPaths, options: StackOptions) -> Stack:
    """Return the parts for ``options``; raises PartFailed if one is not available."""
    nodes = ray_parts(paths, options.cpus, options.workers)
    head = nodes[0]
    if options.port is None:
        return Stack(nodes, head)
    user_settings = {name: value for name, value in os.environ.items() if name.startswith("FACET_")}
    started = servers.make_servers(folder.data, folder.logs, all_topics(), user_settings, print_progress)
    settings = serve_part.environment(folder.data, options.port, started.environment, user_settings)
    settings |= serve_part.serve_environment(paths.temp)
    nodes = [replace(node, env={**node.env, **settings}) for node in nodes]
    after = tuple(part.name for part in (*started.parts, *nodes[1:]))
    served = serve_part.part(folder.data, paths, head, options.port, settings, after)
    parts, url = [*started.parts, *nodes, served], serve_part.url(options.port)
    return Stack(parts, nodes[0], url, settings[servers.KAFKA_URL], settings)


def print_progress(text: str) -> None:
    """Print a progress message to stderr."""
    print(text, file=sys.stderr, flush=True)


def ray_parts(paths: ray_nodes.ClusterPaths, cpus: float, workers: int) -> list[Part]:
    """Return a head and ``workers`` worker nodes; with workers the head takes no tasks, as on a real cluster."""
    head = ray_nodes.head(paths, cpus=0 if workers else cpus)
    names = [f"ray-worker-{index}" for index in range(1, workers + 1)]
    return [head, *(ray_nodes.worker(paths, head.address, name, cpus) for name in names)]


def run_detached(folder: Folder, command: list[str]) -> State:
    """Run ``command``, a foreground ``facet up``, in its own session, and wait until all parts are ready.

    Raises AlreadyUp, or PartFailed with the command's last output if it exits before that.
    """
    with _locked(folder):
        pass  # only a check: the command takes the lock itself
    log = folder.logs / "supervisor.log"
    supervisor = sessions.start(command, log)
    progress = ProgressPrinter()
    while sessions.reap(supervisor) is None:
        state = folder.read()
        if state and state.supervisor.pid == supervisor.pid:
            progress(state.parts)
        if state and state.supervisor.pid == supervisor.pid and all(part.ready for part in state.parts):
            return state
        time.sleep(0.1)
    last_line = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise PartFailed(last_line.removeprefix("facet: ") or f"the supervisor exited without output; its log: {log}")


def clean_up(folder: Folder) -> bool:
    """Stop all parts of the recorded stack, with or without its supervisor; return False if there was no stack."""
    state = folder.read()
    if state is None:
        return False
    if sessions.alive(state.supervisor):
        os.kill(state.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while sessions.alive(state.supervisor):
            if time.monotonic() > deadline:
                os.kill(state.supervisor.pid, signal.SIGKILL)
            time.sleep(0.05)
        state = folder.read() or state
    for part in reversed(state.parts):
        if part.session:
            sessions.stop(part.session, part.grace_s, part.stop_signal)
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
            raise AlreadyUp("the stack of this folder is up or starting; check `facet status`") from error
        yield


def detached_command(options: StackOptions) -> list[str]:
    """Return the command line of a foreground ``facet up`` with the same options."""
    which = "--ray-only" if options.port is None else f"--port={options.port}"
    up = [sys.executable, "-m", "pricing_engine", "up", "--no-samples", which]
    return [*up, f"--cpus={options.cpus:g}", f"--workers={options.workers}"]
