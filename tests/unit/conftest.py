"""Unit tests never start Ray: neither in this process nor as a command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

FORBIDDEN = "unit tests start no Ray: put this test into tests/integration, where one cluster is shared"


def starts_ray(command: object) -> bool:
    """Whether a command line, as a string or a sequence, is Ray's own (`ray start`, a raylet, a GCS)."""
    words = (
        command.split() if isinstance(command, str) else list(command) if isinstance(command, Sequence) else [command]
    )
    names = [Path(os.fsdecode(word)).name for word in words if isinstance(word, str | bytes | os.PathLike)]
    return bool({"ray", "raylet", "gcs_server", "ray.scripts.scripts"} & set(names))


@pytest.fixture(scope="package", autouse=True)
def no_ray() -> Iterator[None]:
    """Let every way to start Ray raise, for the tests of this folder alone."""
    import ray

    def refuse(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(FORBIDDEN)

    def guarded(start: Any) -> Any:
        def checked(self: object, args: object, *rest: object, **options: object) -> Any:
            return refuse() if starts_ray(args) else start(self, args, *rest, **options)

        return checked

    def guarded_spawn(spawn: Any) -> Any:
        def checked(path: object, argv: object, *rest: object, **options: object) -> Any:
            return refuse() if starts_ray(argv) else spawn(path, argv, *rest, **options)

        return checked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", refuse)
        patch.setattr(subprocess.Popen, "__init__", guarded(subprocess.Popen.__init__))
        for name in ("posix_spawn", "posix_spawnp"):
            patch.setattr(os, name, guarded_spawn(getattr(os, name)))
        yield
