"""Rewrite golden.json: ``python -m tests.golden.update``; a changed number needs a new ENGINE_VERSION first."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.golden.documents import STORED, Json, differences, dumps, record


def refusal(stored: Json, current: Json) -> str | None:
    """Return why ``current`` may not replace ``stored``, or None."""
    found = differences(stored, current)
    if not found or stored["engine_version"] != current["engine_version"]:
        return None
    version = current["engine_version"]
    return "\n".join([f"Numbers differ from those of engine {version}; raise ENGINE_VERSION first:", *found])


def main() -> None:
    """Write the file, or exit with the reason why not."""
    with tempfile.TemporaryDirectory() as folder:
        current = record(Path(folder))
    if STORED.exists():
        stored = json.loads(STORED.read_text())
        if reason := refusal(stored, current):
            sys.exit(reason)
        if stored["engine_version"] == current["engine_version"]:
            # What this machine reproduces stays as recorded; only new documents are added, of the same kind of machine.
            new = current["documents"].keys() - stored["documents"].keys()
            if new and stored["machine"] != current["machine"]:
                sys.exit(f"New documents ({', '.join(sorted(new))}) must be recorded on {stored['machine']}")
            current = {**stored, "documents": current["documents"] | stored["documents"]}
    STORED.write_text(dumps(current))


if __name__ == "__main__":
    main()
