"""``python -m benchmarks.load``: one headless run against the stack of this folder, or one brought up for it.

Exit code 1 where a request failed, 2 where there was nothing to load.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load.target import NoTarget, find_target
from cluster.local.ports import free_ports

FACET = (sys.executable, "-m", "pricing_engine")
LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"


def main() -> int:
    """Load, and tell whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path(".facet/load"))
    asked = parser.parse_args()
    command = [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", f"--users={asked.users}",
        f"--run-time={asked.seconds}s", "--stop-timeout=30", f"--load-out={asked.out.absolute()}",
    ]  # fmt: skip
    with _status() as status:
        return subprocess.run([*command, f"--facet-status={status}"], check=False).returncode


@contextmanager
def _status() -> Iterator[Path]:
    """A file with what `facet status --json` says of the stack that is to be loaded."""
    with tempfile.TemporaryDirectory(prefix="facet-load-") as name:
        folder = Path(name)
        status = folder / "status.json"
        status.touch(mode=0o600)  # it has passwords
        try:
            found = find_target(None)
        except NoTarget:
            print("no stack is up here: one is brought up for the test", file=sys.stderr)
        else:
            status.write_text(json.dumps({"url": found.url, "demo": found.demo}))
            yield status
            return
        (port,) = free_ports(1)
        try:
            subprocess.run([*FACET, "up", "--detach", "--no-samples", f"--port={port}"], cwd=folder, check=True)
            said = subprocess.run([*FACET, "status", "--json"], cwd=folder, capture_output=True, check=True).stdout
            status.write_bytes(said)
            yield status
        finally:
            subprocess.run([*FACET, "down", "--purge"], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main())
