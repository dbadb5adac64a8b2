"""Run in a process of its own by :mod:`.step`: ``step_mesher.py SOURCE COARSE FINE``, two GLBs with limits.

Meshes to the coarse tolerance first and, where that gave few enough facets for it to be cheap, to the fine one: the
time of OpenCASCADE's mesher grows faster than its facets. What decides is the file, never the clock.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
from pathlib import Path

TOLERANCE_MM = 0.01
COARSE_RADIANS, FINE_RADIANS = 0.2, 0.07
MOST_COARSE_FACETS = 60_000
SECONDS = 120
_BYTES = 4 << 30


def _facets(glb: Path) -> int:
    """The facets that a GLB stores, each mesh once."""
    with glb.open("rb") as file:
        length = struct.unpack("<I", file.read(20)[12:16])[0]
        tree = json.loads(file.read(length))
    parts = [primitive for mesh in tree.get("meshes", []) for primitive in mesh["primitives"]]
    return sum(tree["accessors"][part["indices"]]["count"] // 3 for part in parts)


def main() -> None:
    """Mesh one file."""
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    import cascadio

    source, coarse, fine = sys.argv[1:]
    for target, angle in ((coarse, COARSE_RADIANS), (fine, FINE_RADIANS)):
        cascadio.step_to_glb(source, target, tol_linear=TOLERANCE_MM, tol_angular=angle, use_parallel=False)
        if _facets(Path(target)) > MOST_COARSE_FACETS:
            break


if __name__ == "__main__":
    main()
