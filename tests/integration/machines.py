"""Made-up machines on one host: each has its own network, processes, /tmp and shared memory, and serves ssh.

A machine is a process that ``unshare`` puts into new namespaces. The machines hang on a bridge inside the first one's
network, so that the host's own network is never touched, and all of it is gone when their first processes are: the
kernel ends every process of a namespace with its first, and drops links and mounts with the last.
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

REPOSITORY = Path(__file__).parents[2]
SSHD = Path(__file__).with_name("sshd.py")
STAND_INS = Path(__file__).parent / "stand_in"
NETWORK = "10.77.0."
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)  # OpenSSH asks the password file for the home folder, not $HOME
# Folders a machine has of its own, empty at first.
OWN = (Path("/tmp"), HOME)
# What a machine still sees where the host keeps it in such a folder: the program itself.
NEEDED = (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine: its address, the ``unshare`` session that holds it, and the host's pid of its first process."""

    ip: str
    session: Session
    init: int

    def run(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a bash command on the machine as its user would in a login shell."""
        enter = ("nsenter", f"--target={self.init}", "--net", "--mount", "--pid")
        shell = ("env", "-i", f"HOME={HOME}", "bash", "-c", f". ~/.bashrc; cd ~; {command}")
        return subprocess.run([*enter, *shell], capture_output=True, text=True, timeout=timeout_s, check=False)

    def programs(self) -> list[str]:
        """Command lines of all that runs on the machine beside its first process and the ssh server."""
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
    """Why machines can't be made here, or None."""
    if Path.home() != HOME:
        return f"ssh takes {HOME} for the home folder, where HOME says {Path.home()}"
    for program in ("unshare", "nsenter", "ip", "ssh", "bash", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    links = "ip link add end0 type veth peer name end1 && ip link add hub type bridge"
    tried = subprocess.run(
        [*UNSHARE, "sh", "-c", f"{links} && mount -t tmpfs new /tmp"], capture_output=True, text=True, check=False
    )
    return f"this host forbids namespaces, links or mounts: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def machines(count: int, folder: Path) -> Iterator[list[Machine]]:
    """``count`` machines that reach one another by ssh with the key ``~/.ssh/id`` each has; logs in ``folder``."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    made: list[Machine] = []
    try:
        for number in range(1, count + 1):
            made.append(_boot(number, key, folder / f"machine-{number}.log"))
            _connect(made)
        yield made
    finally:
        for machine in made:
            sessions.stop(machine.session, grace_s=0)


def _boot(number: int, key: asyncssh.SSHKey, log: Path) -> Machine:
    path = os.pathsep.join(
        [
            str(Path(sys.executable).parent),
            *([] if shutil.which("rsync") else [str(STAND_INS)]),
            os.defpath,
            "/usr/sbin",
        ]
    )
    script = f"""set -e
        {" ".join(_own(folder) for folder in OWN)}
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
            raise RuntimeError(f"machine {number} did not come up: {log.read_text()}")
        time.sleep(0.05)
    (init,) = psutil.Process(session.pid).children()
    return Machine(f"{NETWORK}{number}", session, init.pid)


def _own(folder: Path) -> str:
    """Shell commands that put an empty file system over ``folder`` and show in it what is needed of the old one."""
    commands = ["mount -t tmpfs new /mnt; chmod 1777 /mnt;"]
    for part in sorted({part.resolve() for part in NEEDED}):
        if part.is_relative_to(folder):
            shown = shlex.quote(str(Path("/mnt") / part.relative_to(folder)))
            commands.append(f"mkdir -p {shown}; mount --bind {shlex.quote(str(part))} {shown};")
    return "".join([*commands, f"mount --move /mnt {folder};"])


def _connect(made: list[Machine]) -> None:
    """Plug the newest machine into the bridge, which stands in the first one's network."""
    first, new = made[0], made[-1]
    if new is first:
        _ip(first, f"link add hub type bridge; ip addr add {new.ip}/24 dev hub; ip link set hub up; ip link set lo up;"
                   "ip route add default dev hub")  # fmt: skip
        return
    port = f"port{len(made)}"
    _ip(first, f"link add {port} type veth peer name eth0 netns {new.init}; ip link set {port} master hub up")
    _ip(new, f"addr add {new.ip}/24 dev eth0; ip link set eth0 up; ip link set lo up; ip route add default dev eth0")


def _ip(machine: Machine, commands: str) -> None:
    subprocess.run(["nsenter", f"--target={machine.init}", "--net", "sh", "-ec", f"ip {commands}"], check=True)
