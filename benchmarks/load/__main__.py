"""``python -m benchmarks.load``: one headless run against the stack of this folder, or one started for the test.

Exit code 1 if a request failed, 2 if there was no target.
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
    """Run the load test and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path(".facet/load"))
    options = parser.parse_args()
    command = [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--stop-timeout=30",
        f"--users={options.users}", f"--run-time={options.seconds}s", f"--load-out={options.out.absolute()}",
    ]  # fmt: skip
    with _status() as status:
        return subprocess.run([*command, f"--facet-status={status}"], check=False).returncode


@contextmanager
def _status() -> Iterator[Path]:
    """Yield a file with the `facet status --json` of the target stack."""
    with tempfile.TemporaryDirectory(prefix="facet-load-") as name:
        folder = Path(name)
        status = folder / "status.json"
        status.touch(mode=0o600)  # it contains passwords
        try:
            found = find_target(None)
        except NoTarget:
            print("no stack runs in this folder: starting one for the test", file=sys.stderr)
        else:
            status.write_text(json.dumps({"url": found.url, "demo": found.demo}))
            yield status
            return
        (port,) = free_ports(1)
        try:
            subprocess.run([*FACET, "up", "--detach", "--no-samples", f"--port={port}"], cwd=folder, check=True)
            output = subprocess.run([*FACET, "status", "--json"], cwd=folder, capture_output=True, check=True).stdout
            status.write_bytes(output)
            yield status
        finally:
            subprocess.run([*FACET, "down", "--purge"], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main())
