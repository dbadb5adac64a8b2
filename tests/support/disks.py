"""Small disks that a test can fill: memory file systems mounted over folders of the stack before it starts."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BALLAST = "ballast"
"""Name of the file that fills a disk. Kafka's log folder and the model store ignore files of this name."""
_BLOCK = 1 << 20


class MountRefused(Exception):
    """The process may not mount, or the command is missing."""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A separate file system at ``folder``."""

    folder: Path

    def fill(self) -> None:
        """Write ballast until no byte fits; call it again to fill space freed since."""
        with (self.folder / BALLAST).open("ab", buffering=0) as file:
            size = _BLOCK
            while size:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        """Remove the ballast."""
        (self.folder / BALLAST).unlink(missing_ok=True)


@contextmanager
def mounted(folders: Mapping[str, tuple[Path, int]]) -> Iterator[dict[str, SmallDisk]]:
    """Mount a file system over each of ``folders`` (name -> folder and size in bytes; created) for the block.

    Raises MountRefused if that is not permitted; nothing is mounted then.
    """
    with ExitStack() as unmounting:
        found = {}
        for name, (folder, size) in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", f"facet-{name}", str(folder))
            unmounting.callback(_run, "umount", str(folder))
            found[name] = SmallDisk(folder)
        yield found


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise MountRefused(f"there is no command {command[0]}") from error
    if done.returncode:
        raise MountRefused(f"{' '.join(command)}: {done.stderr.strip()}")
