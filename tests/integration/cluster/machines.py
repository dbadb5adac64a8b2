"""Simulated machines on one host: each has its own network, processes, /tmp and shared memory, and serves ssh.

A machine is a process that ``unshare`` puts into new namespaces. The machines are connected to a bridge inside the
first one's network, so that the host's network is not changed, and everything disappears with their first processes:
the kernel kills every process of a PID namespace with its first, and removes links and mounts with the last.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import psutil

from cluster.local import sessions
from cluster.local.sessions import Session
from tests.support.paths import ROOT

SSHD = Path(__file__).with_name("sshd.py")
STAND_INS = Path(__file__).parent / "stand_in"
NETWORK = "10.77.0."
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)  # OpenSSH reads the home folder from the password file, not $HOME
# Folders that are private to a machine, initially empty.
PRIVATE_FOLDERS = (Path("/tmp"), HOME)
# Paths in such folders that a machine shares with the host: the program itself.
SHARED_PATHS = (ROOT, Path(sys.prefix), Path(sys.base_prefix))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine: its address, the ``unshare`` session that holds it, and the host's pid of its first process."""

    ip: str
    session: Session
    init: int

    def run(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a bash command on the machine as in its user's login shell."""
        enter = ("nsenter", f"--target={self.init}", "--net", "--mount", "--pid")
        shell = ("env", "-i", f"HOME={HOME}", "bash", "-c", f". ~/.bashrc; cd ~; {command}")
        return subprocess.run([*enter, *shell], capture_output=True, text=True, timeout=timeout_s, check=False)

    def programs(self) -> list[str]:
        """Return the command lines of all processes on the machine except the first one and the ssh server."""
        found = []
        for process in psutil.Process(self.init).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
                if line and process.status() != psutil.STATUS_ZOMBIE and "sshd.py" not in line:
                    found.append(line)
            except psutil.NoSuchProcess:
                continue
        return found


def obstacle() -> str | None:
    """Return why machines can't be created on this host, or None."""
    if Path.home() != HOME:
        return f"ssh takes {HOME} for the home folder, but HOME is {Path.home()}"
    for program in ("unshare", "nsenter", "ip", "ssh", "bash", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    links = "ip link add end0 type veth peer name end1 && ip link add hub type bridge"
    result = subprocess.run(
        [*UNSHARE, "sh", "-c", f"{links} && mount -t tmpfs new /tmp"], capture_output=True, text=True, check=False
    )
    return f"this host forbids namespaces, links or mounts: {result.stderr.strip()}" if result.returncode else None


@contextmanager
def machines(count: int, folder: Path) -> Iterator[list[Machine]]:
    """Boot ``count`` machines that reach one another by ssh with the key ``~/.ssh/id``; logs in ``folder``."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    booted: list[Machine] = []
    try:
        for index in range(1, count + 1):
            booted.append(_boot(index, key, folder / f"machine-{index}.log"))
            _connect(booted)
        yield booted
    finally:
        for machine in booted:
            sessions.stop(machine.session, grace_s=0)


def _boot(index: int, key: asyncssh.SSHKey, log: Path) -> Machine:
    path = os.pathsep.join(
        [
            str(Path(sys.executable).parent),
            *([] if shutil.which("rsync") else [str(STAND_INS)]),
            os.defpath,
            "/usr/sbin",
        ]
    )
    script = f"""set -e
        {" ".join(_isolate_folder(folder) for folder in PRIVATE_FOLDERS)}
        mount -t tmpfs -o size=8g shm /dev/shm
        mkdir -p {HOME}/.ssh; cd {HOME}
        echo {shlex.quote(f"export PATH={path} USER=root")} > .bashrc
        (umask 077; cat > .ssh/id <<'KEY'\n{key.export_private_key().decode()}KEY\n)
        . ./.bashrc
        python {SSHD} {shlex.quote(key.export_public_key().decode().strip())} & wait $!"""
    session = sessions.start([*UNSHARE, "bash", "-c", script], log)
    deadline = time.monotonic() + 20
    while not log.exists() or "serves ssh" not in log.read_text():
        if not sessions.alive(session) or time.monotonic() > deadline:
            sessions.stop(session, grace_s=0)
            raise RuntimeError(f"machine {index} did not boot: {log.read_text()}")
        time.sleep(0.05)
    (init,) = psutil.Process(session.pid).children()
    return Machine(f"{NETWORK}{index}", session, init.pid)


def _isolate_folder(folder: Path) -> str:
    """Return shell commands that mount an empty file system over ``folder`` and bind the shared paths into it."""
    commands = ["mount -t tmpfs new /mnt; chmod 1777 /mnt;"]
    for part in sorted({part.resolve() for part in SHARED_PATHS}):
        if part.is_relative_to(folder):
            visible = shlex.quote(str(Path("/mnt") / part.relative_to(folder)))
            commands.append(f"mkdir -p {visible}; mount --bind {shlex.quote(str(part))} {visible};")
    return "".join([*commands, f"mount --move /mnt {folder};"])


def _connect(booted: list[Machine]) -> None:
    """Connect the newest machine to the bridge in the first one's network."""
    first, new = booted[0], booted[-1]
    if new is first:
        _ip(first, f"link add hub type bridge; ip addr add {new.ip}/24 dev hub; ip link set hub up; ip link set lo up;"
                   "ip route add default dev hub")  # fmt: skip
        return
    port = f"port{len(booted)}"
    _ip(first, f"link add {port} type veth peer name eth0 netns {new.init}; ip link set {port} master hub up")
    _ip(new, f"addr add {new.ip}/24 dev eth0; ip link set eth0 up; ip link set lo up; ip route add default dev eth0")


def _ip(machine: Machine, commands: str) -> None:
    subprocess.run(["nsenter", f"--target={machine.init}", "--net", "sh", "-ec", f"ip {commands}"], check=True)
