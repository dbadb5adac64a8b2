"""Parts that run small servers of Python's own."""

from __future__ import annotations

import sys
from pathlib import Path

from cluster.local.parts import Part
from cluster.local.ports import free_ports


def web_server(folder: Path, name: str = "web", needs: tuple[str, ...] = ()) -> Part:
    (port,) = free_ports(1)
    argv = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder))
    probes = (f"http://127.0.0.1:{port}/",)
    return Part(name, argv, f"127.0.0.1:{port}", "1", folder / f"{name}.log", probes, needs, grace_s=2)


def failing_part(folder: Path, code: str, ready_timeout_s: float = 20) -> Part:
    return Part(
        "broken", (sys.executable, "-c", code), "", "1", folder / "log", ("http://127.0.0.1:1/",),
        ready_timeout_s=ready_timeout_s,
    )  # fmt: skip
